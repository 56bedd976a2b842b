"""How is the landscape around an optimum sampled?

`sample` jumps away and retrains, `baselines` has what that is compared with (rays, a grid, random
walks), `trajectories` is what all of them return. Begin with `sample`.
"""
