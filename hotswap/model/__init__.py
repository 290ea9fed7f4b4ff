"""How tokens are computed, and where adapters are merged. Open `runner` first.

load                  a folder, a file, a hub id (model_path, hub) -> Loaded;
                      kernel_choice: its type
forward_choice        the pass that is right for it: llama, attention_interface or,
                      job by job, per_sequence
ragged_batch          one step: rows of all jobs, their tokens flat; attention on the
                      kv arena
weights, slots        golden, k slots, what is resident; linear (of what is mergeable)
                      and other_parameters build a slot's content, with merge or
                      packed_merge: W0 + scale B A
batched_lora          the mixed path: lora_stack adds (x A) B, lora_mapping says whose
budget, eviction      what memory is spent on; device: the host or CUDA, and its events
calibrate, timing     what steps and swaps take on this machine, with progress shown;
                      kernels: how products are computed
"""
