"""Ceilings: what the machine is, how fast it copies and multiplies."""

import platform

import torch

from benchmarks.gpu.setting import Figures, Setting


def run(setting: Setting) -> Figures:
    yield "torch", torch.__version__
    yield "python", platform.python_version()
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
