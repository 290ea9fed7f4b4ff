"""Golden and the slots. `weights` alone knows what is resident.

weights               k slots: which holds what, which is given up
slots                 values: a slot, a build on its way, what can be swapped
mergeable             which modules an adapter can be merged into
stacked               several of one input as one weight, each in memory once
other_parameters      those of the other modules: norms, embeddings
"""
