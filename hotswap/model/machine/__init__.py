"""What the model runs on.

device                the host or CUDA: its memory, its side stream, its events;
                      cuda_check: why one cannot be used; pinned: what it reads
                      of host memory by itself
kernels               how products are computed; widening: weights of 16 bits in
                      float32; segmented: LoRA of many adapters; block_attention;
                      row_operations: norm and rotation; each by a C file that
                      native compiles here
budget                what memory is spent on: golden, slots, KV, adapters; a GPU's
                      is spent by gpu_budget
fingerprint           what measured seconds hold for; progress shows long measuring
"""
