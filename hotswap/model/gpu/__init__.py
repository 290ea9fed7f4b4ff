"""The executor for a GPU. Not yet run on a GPU.

step_inputs           a step as tables, in one of the buckets; staging brings them over
                      in one copy; attention_table says who attends to what
graphs                a step's work recorded once, launched as one
lora_pool             the adapters of mixed steps in a fixed number of pages:
                      lora_pages writes them, lora_layer adds what they make of the
                      rows, lora_table says which pages each row meets
kernel_set            the kernels it computes with, as one value

kernels/              these kernels, in Triton
"""
