"""A whole study: what is done, what it costs, doing it.

`design` says what is done and `builders` makes its tasks, `costs` estimates, `explore`,
`interpolate` and `connect` do it, `check` compares the program with closed forms. Begin with
`design` and `explore`.
"""
