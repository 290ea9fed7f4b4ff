"""The small kernels as a Hopper GPU would get them: they compile, nothing spills.

All cases take minutes: `python -m tests.hotswap.gpu.ahead_of_time
tests.hotswap.gpu.kernel_launches 90 ""`, before a kernel is changed for good.
"""

import pytest

pytest.importorskip("triton")

from tests.hotswap.gpu.ahead_of_time import compile_launches

LAUNCHES = "tests.hotswap.gpu.kernel_launches"
SOME = "step 8b bfloat16 rows 64|merge bfloat16 a (bfloat16 b b|float32 b f).* rank 16"


@pytest.mark.slow
def test_they_compile_and_no_register_spills() -> None:
    compiled = compile_launches(LAUNCHES, 90, SOME)

    assert {each.kernel for each in compiled} == {
        "_rms_norm",
        "_silu_mul",
        "_rotate_and_write",
        "_pending",
        "_merge",
    }
    for each in compiled:
        assert each.spilled == 0, str(each)
        assert each.registers <= 128, str(each)  # two blocks of 256 threads at once


@pytest.mark.slow
def test_they_compile_for_ampere() -> None:
    for each in compile_launches(LAUNCHES, 80, SOME):
        assert each.spilled <= 16, str(each)  # mixed factors
