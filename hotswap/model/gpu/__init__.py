"""The executor for a GPU. Not yet run on a GPU.

kernel_set            the kernels it computes with, as one value
attention_table       which rows of a step attend to which part of the KV

kernels/              what it computes with, in Triton
"""
