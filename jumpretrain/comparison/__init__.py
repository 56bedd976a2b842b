"""Which numbers describe a network, and which differ between groups of networks?

`describe` makes the numbers of one network, `geometry` those of its weights; `compare` sets groups
side by side with `hypothesis_tests`, `effects` and `correlation`. Begin with `compare`.
"""
