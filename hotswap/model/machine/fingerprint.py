"""Machine: what measured seconds hold for, so that they may be kept for another day."""

import hashlib
import platform
from pathlib import Path

import torch

from hotswap import __version__

# One name stands for CPUs of several generations where they are virtual.
_TELLING = ("model name", "cpu family", "model", "flags", "Features", "cache size")


def digest(*parts: object) -> str:
    """Of `parts`, this machine, its threads and the versions of torch and us."""
    known: list[object] = [platform.processor(), *cpu()]
    if torch.cuda.is_available():
        known.append(torch.cuda.get_device_name())
    known += [torch.get_num_threads(), torch.__version__, __version__]
    return hashlib.sha256(repr((known, parts)).encode()).hexdigest()[:16]


def cpu() -> list[str]:
    """What Linux says of the first CPU."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return []
    return [s for s in first.splitlines() if s.partition("\t")[0].strip() in _TELLING]
