"""What a GPU executor computes with, in Triton. Not yet run on a GPU.

lora                  shrink and expand_add: what each row's own adapter adds
"""
