"""Where, and under which settings and seeds, does work run?

`execution` divides work into chunks and spreads them over worker processes or a cluster;
`settings` holds all that numbers depend on, one thread among it, and puts it back, `hooks` what
torch puts around operations; `threads` knows the libraries with threads. `randomness` seeds the
generators that all code shares, `attention` gives torch's kernels to one thread at a time.
`arguments` and `bounds` check what calls are given, `memory` whether it fits this machine;
`arrays` reads numbers in whatever holds them. Begin with `execution.Execution`.
"""
