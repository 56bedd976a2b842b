"""What do several networks predict together?

`ensemble` averages predictions and weights, `cycles` collects snapshots of one training,
`branches` parts copies of one network, `subspaces` draws networks around one. Begin with
`ensemble`.
"""
