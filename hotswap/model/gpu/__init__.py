"""The executor for a GPU. Not yet run on a GPU.

kernel_set            the kernels it computes with, as one value
lora_pool             the adapters of mixed steps in a fixed number of pages:
                      lora_pages writes them, lora_layer adds what they make of the
                      rows, lora_table says which pages each row meets
"""
