"""attend: every row of a step to the KV of its own sequence. Not yet run on a GPU."""

from torch import Tensor

from hotswap.model.gpu.attention_table import AttentionTable
from hotswap.model.gpu.kernels.attention_decode import attend_decode
from hotswap.model.gpu.kernels.attention_ragged import attend_ragged


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table: AttentionTable,
    scaling: float,
    window: int | None,
) -> Tensor:
    """softmax(q k^T scaling) v, causal, over each row's own sequence.

    q [n, heads, dim]; keys, values [blocks * BLOCK_TOKENS, kv_heads, dim]; of one dtype
    (float32, bfloat16, float16), contiguous, dim a multiple of 16. `scaling` is
    positive. `window`: a row attends to the last `window` positions, its own included.
    Returns [n, heads, dim], accumulated in float32 and rounded once; softmax weights
    are rounded to the values' dtype, as in FlashAttention. Rows of q that belong to no
    sequence stay unwritten: nobody reads them, and no operation mixes rows.
    Launches one kernel or two, by shapes alone, and waits for nothing.
    """
    assert all(tensor.is_contiguous() for tensor in (q, keys, values))
    assert q.dtype == keys.dtype == values.dtype
    attend_step = attend_decode if table.tiles is None else attend_ragged
    return attend_step(q, keys, values, table, scaling, window or 0)
