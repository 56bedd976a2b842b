"""Which valleys, saddles and loops has the sampled landscape?

`diagrams` holds what persistent homology finds, `homology` computes it with Ripser (of sublevel
sets, of distances, and as the published script does), `filtrations` prepares its matrices,
`subsampling` thins what is too large. `measure` scores ways between states and gives `saddles`, a
`merge_tree` that `minimax` finds by looking at few `segments`; `bend` replaces the highest by
curves. Begin with `measure`.
"""
