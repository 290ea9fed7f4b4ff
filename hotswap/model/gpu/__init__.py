"""The executor for a GPU. Not yet run on a GPU.

attention_table       which rows of a step attend to which part of the KV

kernels/              what it computes with, in Triton
"""
