"""What can be said of a vector of weights without running the network?

`directions` draws filter-normalised directions, `planes` holds weights to a plane, `curves` joins
two states, `layers` names and measures parts of a state, `units` permutes hidden units. Begin with
`directions`.
"""
