"""How do arrays lie in folders that are valid at every moment?

`folders` writes each file beside its place and renames it; `manifests` says what a folder holds.
`lazy_states` reads states when they are asked for, `compression` keeps them in half the space,
`locks` reserves a folder for one process. Begin with `folders`.
"""
