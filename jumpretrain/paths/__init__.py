"""What happens on the way from one state to another?

`interpolate` scores states on a straight path, `path` reads barriers and plateaus off it,
`outputs`, `gauss_length` and `certificate` watch the outputs turn, `signals` the layers between,
`controls` and `biases` explain. Begin with `interpolate`.
"""
