"""Attention over keys that come block by block (Milakov and Gimelshein 2018; Dao 2022).

Not yet run on a GPU.
"""

import math

import triton
import triton.language as tl

LOG2_E = math.log2(math.e)  # scores times this: exp2 is the instruction that there is


@triton.jit
def start(ROWS: tl.constexpr, DIM: tl.constexpr):
    """What rows that have seen no key know: see `add_block`."""
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, DIM], tl.float32)
    return highest, total, result


@triton.jit
def add_block(query, keys, values, is_there, is_seen, scale, highest, total, result):
    """Let each row take in one block of keys.

    query [rows, dim]; keys, values: pointers [keys, dim], read where `is_there`;
    is_seen [rows, keys]: what each row attends to, None for all; scale, positive: makes
    a score, in units of log 2, of a product. Of the keys so far: highest [rows] score,
    total [rows] of the weights, result [rows, dim], the weighted sum of the values,
    both relative to `highest`, float32. Returns the three. A NaN among the scores of a
    row makes that row NaN.
    """
    key = tl.load(keys, mask=is_there, other=0.0)
    scores = tl.dot(query, tl.trans(key), input_precision="ieee")
    if is_seen is not None:
        scores = tl.where(is_seen, scores, float("-inf"))
    value = tl.load(values, mask=is_there, other=0.0)
    risen = tl.maximum(highest, tl.max(scores, 1) * scale)
    # A window may hide a whole block from a row: -inf minus -inf would be NaN.
    reference = tl.where(risen == float("-inf"), 0.0, risen)
    weights = tl.exp2(scores * scale - reference[:, None])
    decay = tl.exp2(highest - reference)
    total = total * decay + tl.sum(weights, 1)
    result = result * decay[:, None]
    weights = weights.to(value.dtype)
    result = tl.dot(weights, value, result, input_precision="ieee")
    return risen, total, result
