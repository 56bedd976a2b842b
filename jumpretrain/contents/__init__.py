"""What may a network hold, and what of it is a state?

`layout` says where each tensor lies in a state, `constants` what is in no state and must stay as
it is, `estimates` what is found anew at each scored state. `hidden_state` finds what a network
remembers beside its tensors. Begin with `layout.Layout`.
"""
