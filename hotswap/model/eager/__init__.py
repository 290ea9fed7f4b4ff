"""The executor that runs each operation from Python: the CPU's. Open `executor` first.

It runs on every device, and every model.

executor              weights, KV and forward pass of a loaded model
forward_choice        the pass that is right for it: llama over our operations,
                      attention_interface or, job by job, per_sequence
ragged_batch          one step: rows of all jobs, their tokens flat; attention_choice
                      has their KV: in blocks, or the kv arena of torch's attention
linear                what is mergeable, as a slot has it, by merge or packed_merge:
                      W0 + scale B A; eviction: where golden leaves the device
batched_lora          the mixed path: lora_stack adds (x A) B, lora_mapping says whose
kernel_choice         the type and the kernels that are fastest here, by timing the
                      model's products
"""
