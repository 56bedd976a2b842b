"""How do trajectories look in the plane?

`gram` measures distances of weights, `neighbours` joins points to a graph, `affinities` and
`layouts` do as PHATE does, `fidelity` says how much of it to believe. Begin with `embed`.
"""
