"""Which networks, and which fresh weights, ship with the library?

`models` has fully connected and convolutional networks and the names that the command knows,
`residual` and `sequences` the larger ones, `initialisation` the schemes of fresh weights. Any
`torch.nn.Module` of your own does as well. Begin with `models`.
"""
