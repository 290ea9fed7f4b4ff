"""The executor for a GPU. Not yet run on a GPU.

executor              opens and closes jobs, launches steps, lands them
buckets               the shapes that steps are filled up to
step_inputs           a step as tables, staging brings them over in one copy;
                      attention_table says who attends to what
graphs                a step's work recorded once, launched as one
operations            the operations of the chain; linear: its products, in slots that
                      never move; arena: the KV
lora_pool             adapters of mixed steps in pages: lora_pages writes, lora_table
                      says whose, lora_layer adds
kernel_set            the kernels it computes with, as one value

kernels/              these kernels, in Triton
"""
