"""How do arrays lie in folders that are valid at every moment?

`folders` keeps runs and `manifests` says what a folder holds, whose owner each file names.
`lazy_states` reads states when they are asked for, `compression` keeps them in half the space.
`arrays` and `json_files` give files checksums, `files` makes them whole, `locks` holds a folder,
and `system_errors` says what the system refuses. Begin with `folders`.
"""
