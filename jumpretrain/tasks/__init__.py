"""What is a state scored on?

A task is a network, data, a loss for each example, and metrics. `data` holds examples, `measures`
losses and metrics. `modules` and `sources` read what users hold; `probing` tries a network once
before long work, `dependence` what scores depend on. `fingerprint` tells tasks apart, by their
`ingredients` and `functions`. Begin with `task.Task`.
"""
