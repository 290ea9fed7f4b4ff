"""The executor for a GPU. Not yet run on a GPU.

kernel_set            the kernels it computes with, as one value
kernels               they themselves: the only files that import Triton
"""
