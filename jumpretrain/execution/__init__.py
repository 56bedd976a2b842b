"""Where, and on how many threads, does work run?

`execution` divides work into chunks and spreads them over worker processes or a cluster;
`threads` holds a process to one thread, on which bits depend; `arguments` checks what public
calls are given. Begin with `execution.Execution`.
"""
