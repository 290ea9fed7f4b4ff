"""vLLM as the executor: its model runner and workers compute, our scheduler decides.

versions              which vLLM, looked at before it is loaded
executor              the seam: jobs, steps, samples
start                 vLLM's workers with their model and KV; workers calls them all
requests, sampling    a step and its parameters in vLLM's words
loader                vLLM's own, watched: placements are where it put each tensor of
                      the checkpoint; checkpoint_layout is what adapters have to fit
remote_weights        golden and slots of all workers; worker is one of them,
                      parameters what adapters change there, packs how a CPU holds it
"""
