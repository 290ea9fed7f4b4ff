"""How tokens are computed, and where adapters are merged. Open `runner` first.

load, hub, source     a folder, a file, a hub id -> Loaded; kernel_choice: its type
forward_choice        the pass that is right for it: llama, attention_interface or,
                      job by job, per_sequence
ragged_batch          one step, the tokens of all jobs flat; attention on the kv arena
weights, slots        golden, k slots, what is resident; linear builds a slot's content
                      with merge or packed_merge, W0 + scale B A
batched_lora          the mixed path: lora_stack adds (x A) B, lora_mapping says whose
budget, eviction      what memory is spent on; device: the host or CUDA, and its events
calibrate, timing     what steps and swaps take here; kernels: how products are computed
"""
