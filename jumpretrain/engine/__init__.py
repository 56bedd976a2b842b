"""The two primitives: score many states, move many states downhill.

`evaluate` scores states, `train` moves them by a `recipe` and records where they pass; nothing
else loops over batches or calls an optimiser. `chunking` decides how runs are trained together,
`replicas` trains them stacked or looped. Begin with `train` and `evaluate`.
"""
