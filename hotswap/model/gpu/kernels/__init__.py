"""Kernels in Triton: the only room that imports it. Not yet run on a GPU.

attention             attend: every row of a step to its own sequence's KV
attention_ragged      chunks of prompts and decoding rows together
attention_decode      one row of each sequence
online_softmax        softmax over keys that come block by block
"""
