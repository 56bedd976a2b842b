"""What is a state scored on?

A task is a network, data, a loss for each example, and metrics. `data` holds examples, `measures`
losses and metrics, `layout` says where each tensor lies in a vector. `arrays`, `modules` and
`sources` read what users hold; `probing` tries a network once before long work. Begin with
`task.Task`.
"""
