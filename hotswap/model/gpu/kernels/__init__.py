"""Kernels in Triton: the only room that imports it. Not yet run on a GPU.

attention             attend: every row of a step to its own sequence's KV
attention_ragged      chunks of prompts and decoding rows together
attention_decode      one row of each sequence
online_softmax        softmax over keys that come block by block

norm                  RMS norm
activation            silu(gate) * up
rotary                rotates q and k, writes k and v to the KV
gather                token ids that only the device knows yet
merge                 golden + scale * B A, in one pass

lora                  shrink and expand_add: what each row's own adapter adds

triton_kernels        all of them as one value

Each is a plain function over tensors that launches its kernel on the current stream: it
waits for nothing, reads nothing back, and its grid depends on shapes alone, so that it
can be captured in a CUDA graph. The first call with new types compiles, which takes
about a second: call it once before capturing. Sums are taken in float32, in a fixed
order, and rounded once. Tensors lie on one device; their last dimension is contiguous.

The sizes of blocks are constants at the top of each file, chosen for an H100 by
reasoning (16 bytes a thread and load) and not timed yet.
"""
