"""Attention's kernels compile for GPUs that are not here, and fit into them.

All 84 cases take minutes: `python -m tests.hotswap.gpu.ahead_of_time
tests.hotswap.gpu.attention_launches 90 ""`, before a kernel is changed for good.
"""

import pytest

pytest.importorskip("triton")
from tests.hotswap.gpu.ahead_of_time import MAX_SHARED, Compiled, compile_launches

LAUNCHES = "tests.hotswap.gpu.attention_launches"


def assert_fits(kernel: Compiled) -> None:
    """Float32 multiplies without tensor cores; its spills cost time, and nobody serves
    with it. On an A100 a few registers do not fit: 72 bytes with a head dim of 256."""
    print(kernel)
    allowed = 0 if kernel.capability == 90 else 72
    assert kernel.shared <= MAX_SHARED[kernel.capability], kernel
    assert kernel.spilled <= allowed or "float32" in kernel.case, kernel
    assert max(kernel.grid[1:]) <= 65_535, kernel


@pytest.mark.slow
def test_llama_s_shapes_compile_for_hopper() -> None:
    kernels = compile_launches(LAUNCHES, 90, "bfloat16 dim (64|128) group 4")

    names = {kernel.kernel for kernel in kernels}
    assert names == {"_ragged_kernel", "_decode_kernel", "_join_kernel"}
    for kernel in kernels:
        assert_fits(kernel)
        if kernel.kernel == "_decode_kernel":
            # Keys and values of two tiles, while a third one is computed on. One tile
            # if their addresses wait for a load of their own iteration.
            width = 128 if "dim 128" in kernel.case else 64
            assert kernel.shared >= 2 * 2 * 64 * width * 2, kernel


@pytest.mark.slow
def test_they_compile_for_ampere() -> None:
    kernels = compile_launches(LAUNCHES, 80, "bfloat16 dim 128 group 4 window 0")

    assert kernels
    for kernel in kernels:
        assert_fits(kernel)
