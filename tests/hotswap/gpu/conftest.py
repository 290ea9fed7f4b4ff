"""The GPU's kernels without a GPU: in Triton's interpreter, mended where it errs.

A test that takes `device` runs on the CPU, interpreted, and where there is a CUDA
device on that instead, marked `gpu`. A file of tests that imports the kernels
begins with `pytest.importorskip("triton")`.
"""

import importlib.util
import os

import pytest
import torch

from tests.hotswap.gpu.interpreter import mend

HAS_CUDA = torch.cuda.is_available()
if importlib.util.find_spec("triton") and not HAS_CUDA:
    assert os.environ["TRITON_INTERPRET"] == "1"  # by tests/__init__.py
    mend()


@pytest.fixture(
    params=[
        pytest.param(
            "cpu",
            marks=pytest.mark.skipif(HAS_CUDA, reason="they run on the CUDA device"),
        ),
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device"),
            ],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a kernel's tensors lie."""
    return torch.device(request.param)
