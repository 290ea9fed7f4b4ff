"""Softmax over keys that come block by block (Milakov and Gimelshein 2018; Dao 2022).

Not yet run on a GPU.
"""

import math

import triton
import triton.language as tl

LOG2_E = math.log2(math.e)  # scores times this: exp2 is the instruction that there is


@triton.jit
def add_block(scores, values, highest, total, result):
    """Take in one block of keys, for rows that have seen none or some before.

    scores [rows, keys] float32 in units of log 2, -inf: not attended to; values [keys,
    dim]. Of the keys so far: highest [rows] score, total [rows] of the weights, result
    [rows, dim], the weighted sum of the values, both relative to `highest`. Returns the
    three. A NaN among the scores of a row makes the row NaN.
    """
    risen = tl.maximum(highest, tl.max(scores, 1))
    # A window may hide a whole block from a row: -inf minus -inf would be NaN.
    reference = tl.where(risen == float("-inf"), 0.0, risen)
    weights = tl.exp2(scores - reference[:, None])
    decay = tl.exp2(highest - reference)
    total = total * decay + tl.sum(weights, 1)
    result = tl.dot(
        weights.to(values.dtype),
        values,
        result * decay[:, None],
        input_precision="ieee",
    )
    return risen, total, result
