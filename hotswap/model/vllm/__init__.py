"""vLLM as an executor: it computes, samples and cuts the model; we merge and decide.

    rows -> requests -> workers -> vLLM's model runner -> sampling -> samples

executor                what the engine knows: the seam
requests                rows of a step, as vLLM's runner is told of them
sampling                our parameters as vLLM's, its outputs as our samples
remote_weights          golden and the slots, which the workers have in parts
workers                 calls of all workers, and what it means if one has died
versions                which vLLM is taken, looked up without loading it
start                   vLLM set up, and looked at: what cannot be served ends the start
checkpoint_layout       what adapters have to fit, from the model's files

In each worker, which may be another process:

extension               what ours asks of it
loader                  vLLM's loading, watched, with golden kept
placements              where each tensor of the checkpoint went: fused, cut
parameters, packs       a parameter as `Weights` swaps it; a CPU's packed ones
"""
