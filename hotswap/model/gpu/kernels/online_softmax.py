"""Attention over keys that come tile by tile (Milakov and Gimelshein 2018; Dao 2022).

Not yet run on a GPU.
"""

import math

import triton
import triton.language as tl

LOG2_E = math.log2(math.e)  # scores times this: exp2 is the instruction that there is


@triton.jit
def start(ROWS: tl.constexpr, DIM: tl.constexpr):
    """What rows that have seen no key know: see `add_tile`."""
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, DIM], tl.float32)
    return highest, total, result


@triton.jit
def arena_rows(blocks, key, end, BLOCK: tl.constexpr):
    """Where in the arena the keys [n] of one sequence lie that are at the positions
    `key`, int64; from `end` on: somewhere in block 0. `blocks`: a pointer to the number
    of the sequence's first block.

    Ask one tile ahead, in the iteration before the one that reads those keys: a load
    whose address comes from a load of the same iteration costs the compiler's pipeline
    a stage, and with it half of the bytes that are on their way."""
    block = tl.load(blocks + key // BLOCK, mask=key < end, other=0)
    return block.to(tl.int64) * BLOCK + key % BLOCK


@triton.jit
def add_tile(query, keys, values, is_there, is_seen, scale, highest, total, result):
    """Let each row take in one tile of keys.

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
    # A window may hide a whole tile from a row: -inf minus -inf would be NaN.
    reference = tl.where(risen == float("-inf"), 0.0, risen)
    weights = tl.exp2(scores * scale - reference[:, None])
    decay = tl.exp2(highest - reference)
    total = total * decay + tl.sum(weights, 1)
    result = result * decay[:, None]
    weights = weights.to(value.dtype)
    result = tl.dot(weights, value, result, input_precision="ieee")
    return risen, total, result
