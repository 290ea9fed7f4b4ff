"""The kernels of mixed steps compile for a GPU, and fit its registers."""

import pytest

pytest.importorskip("triton")

from tests.hotswap.gpu.ahead_of_time import MAX_SHARED, compile_launches


@pytest.mark.slow
def test_they_compile_for_an_h100_and_spill_nothing() -> None:
    cases = "(8B qkv|odd qkv) (decode bfloat16|prefill float32)"
    compiled = compile_launches("tests.hotswap.gpu.lora_launches", 90, cases)

    assert {kernel.kernel for kernel in compiled} == {"_shrink", "_expand_add"}
    for kernel in compiled:
        assert kernel.spilled == 0, kernel
        assert kernel.shared <= MAX_SHARED[90] // 4, kernel  # four blocks for each SM
