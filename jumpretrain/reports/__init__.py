"""Which folders, tables and pages does a study leave?

`explore`, `interpolate` and `connect` write what the studies of the same names found, `page` is
the page that shows the first, `files` writes tables and figures, `printing` prints. Begin with
`explore`.
"""
