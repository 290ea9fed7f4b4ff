"""CudaCheck: why a CUDA device cannot be used, in one line that says what would help.

torch's own errors come late, in several lines, and name its internals. Not yet run on a
GPU.
"""

import re
from typing import Protocol

import torch

from hotswap.errors import StartFailed

_GB = 1e9
_HELP = "or choose --device cpu"


class Cuda(Protocol):
    """`torch.cuda`, as far as it is asked."""

    def init(self) -> None: ...
    def device_count(self) -> int: ...
    def get_arch_list(self) -> list[str]: ...
    def get_device_name(self, device: torch.device) -> str: ...
    def get_device_capability(self, device: torch.device) -> tuple[int, int]: ...
    def mem_get_info(self, device: torch.device) -> tuple[int, int]: ...


def check_cuda(
    device: torch.device,
    *,
    cuda: Cuda = torch.cuda,
    built_for: str | None = torch.version.cuda,
) -> None:
    """Raises StartFailed if `device` is not there, or this torch cannot use it."""
    if built_for is None:
        raise _failed(
            device,
            f"this torch ({torch.__version__}) was built without CUDA: install one "
            "that was, as pytorch.org/get-started says",
        )
    try:
        count = cuda.device_count()
        cuda.init()
    except Exception as error:
        # "The NVIDIA driver on your system is too old (found version 11040). ..."
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _failed(
            device, f"{first.rstrip('.')}: CUDA {built_for} needs a driver made for it"
        ) from None
    if (device.index or 0) >= count:
        raise _failed(
            device,
            f"there are {count} CUDA devices: is the driver loaded, and does "
            "CUDA_VISIBLE_DEVICES hide none",
        )
    major, minor = cuda.get_device_capability(device)
    oldest = min((_capability(arch) for arch in cuda.get_arch_list()), default=(0, 0))
    if (major, minor) < oldest:
        raise _failed(
            device,
            f"{cuda.get_device_name(device)} has compute capability {major}.{minor}, "
            f"and this torch was built for {oldest[0]}.{oldest[1]} and later: take a "
            "newer card or an older torch",
        )


def check_room(
    device: torch.device,
    model_bytes: int,
    *,
    cuda: Cuda = torch.cuda,
) -> None:
    """Raises StartFailed if a model of so many bytes does not fit on the device."""
    free, _ = cuda.mem_get_info(device)
    if model_bytes > free:
        raise _failed(
            device,
            f"the model takes {model_bytes / _GB:.1f} GB, "
            f"{cuda.get_device_name(device)} has {free / _GB:.1f} GB free: take a "
            "smaller model, or --dtype bfloat16 if it is larger",
        )


def _failed(device: torch.device, why: str) -> StartFailed:
    return StartFailed(f"model.device {device}: {why}, {_HELP}")


def _capability(arch: str) -> tuple[int, int]:
    """Of `sm_90`, `sm_120a` or `compute_75`."""
    digits = re.sub(r"\D", "", arch.partition("_")[2])
    return int(digits[:-1]), int(digits[-1])
