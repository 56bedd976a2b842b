"""Which valleys and loops has the sampled landscape?

`diagrams` holds what persistent homology finds, `homology` computes it with Ripser (of sublevel
sets, of distances, and as the published script does), `filtrations` prepares its matrices,
`subsampling` thins what is too large. Begin with `homology`.
"""
