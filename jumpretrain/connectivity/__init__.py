"""How low is the way between optima?

`connect` trains a curve or surface of low loss between optima (mode connectivity), `connector` is
what it returns, `curve_network` and `barycentric` weigh its nodes, `alignment` permutes hidden
units of one network to match another. Begin with `connect`.
"""
