"""Ceilings: what the machine is, how fast it copies and multiplies.

And whether Triton can be used at all: it builds its launchers with a C compiler and
Python's headers, and keeps them in a folder of its own.
"""

import os
import platform
import shutil
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.gpu.setting import Figures, Setting
from hotswap.model.gpu.kernels.norm import rms_norm


def run(setting: Setting) -> Figures:
    yield "torch", torch.__version__
    yield "python", platform.python_version()
    for package in ("triton", "transformers", "peft"):
        yield package, version(package)
    yield "C compiler", os.environ.get("CC") or shutil.which("gcc")
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    yield "Python.h", str(headers) if headers.is_file() else None
    if setting.is_cuda:
        properties = torch.cuda.get_device_properties(setting.device)
        yield "card", properties.name
        yield "memory, GB", properties.total_memory / 1e9
        yield "multiprocessors", properties.multi_processor_count
        yield "capability", list(torch.cuda.get_device_capability())
    nbytes = 1 << (12 if setting.tiny else 30)
    source = torch.ones(nbytes, dtype=torch.int8, device=setting.device)
    target = torch.empty_like(source)
    took_ms = setting.milliseconds(lambda: target.copy_(source))
    yield "copy, TB/s", 2 * nbytes / took_ms / 1e9
    size = 64 if setting.tiny else 8192
    a = torch.randn(size, size, device=setting.device).bfloat16()
    took_ms = setting.milliseconds(lambda: a @ a)
    yield "product bf16, TFLOP/s", 2 * size**3 / took_ms / 1e9
    begun = time.perf_counter()
    rms_norm(torch.ones(2, 64, device=setting.device), a.new_ones(64).float(), 1e-5)
    setting.finish()
    yield "the first kernel of Triton, s", time.perf_counter() - begun
