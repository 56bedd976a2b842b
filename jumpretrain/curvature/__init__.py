"""How sharp, how wide and of how low a dimension is the place where a network ended?

`sharp_directions` counts large eigenvalues of the `hessian`, `tunnels` walks `outward` until the
loss rises, `sections` scores planes and rays, `threshold_dimension` trains in random planes.
Begin with `sharp_directions`.
"""
