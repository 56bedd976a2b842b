"""Landscapes whose answers are known.

`wedges` is the model of arXiv:1906.04724, `wedge_descents` trains in it, `wedge_crossings` joins
its optima; `bias_toy` is the model of plateaus of arXiv:2210.01019. Begin with `wedges`.
"""
