"""Native: a C file of ours, compiled for this machine and kept in the cache folder.

No compiler, one that fails or takes too long, a folder that others may write: there is
no library, and whoever asked goes on without.

OpenMP's functions are left for the loader to find: torch has loaded them for all, and
a library of our own would start threads of its own beside torch's.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from hotswap.cache import cache_dir
from hotswap.model.machine.fingerprint import cpu

log = logging.getLogger(__name__)

_FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC")
_LIMIT_S = 60.0  # it takes two


class NoLibrary(Exception):
    """Why there is none, in a line."""


def library(source: Path) -> ctypes.CDLL:
    """Raises NoLibrary."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoLibrary("no C compiler (cc) here")
    try:
        file = cache_dir() / "native" / f"{source.stem}-{_key(source, compiler)}.so"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_ours(file.parent)
        if not file.exists():
            _compile(source, compiler, file)
        _check_ours(file)
        return ctypes.CDLL(str(file))
    except (OSError, subprocess.SubprocessError) as error:
        raise NoLibrary(str(error).strip().splitlines()[0]) from error


def _key(source: Path, compiler: str) -> str:
    """Of all that the library is made of."""
    there = os.stat(compiler)
    parts = (
        [each.read_bytes() for each in (source, *sorted(source.parent.glob("*.h")))],
        (os.path.realpath(compiler), there.st_size, there.st_mtime_ns),
        (platform.machine(), cpu(), _FLAGS),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _check_ours(path: Path) -> None:
    """Raises NoLibrary where somebody else could have written what we would run."""
    there = path.stat()
    if there.st_uid != os.geteuid() or there.st_mode & 0o022:
        raise NoLibrary(f"others may write {path}")


def _compile(source: Path, compiler: str, target: Path) -> None:
    """Raises NoLibrary, or whatever files and processes do."""
    begun_s = time.perf_counter()
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        made, linked, said = (
            partial / name for name in ("made.o", "linked.so", "said")
        )
        for command in (
            [compiler, *_FLAGS, "-c", str(source), "-o", str(made)],
            [compiler, "-shared", str(made), "-o", str(linked)],
        ):
            with said.open("wb") as output:
                found = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=_LIMIT_S,
                    check=False,
                )
            if found.returncode:
                reason = said.read_text(errors="replace").strip().splitlines()
                raise NoLibrary(f"{compiler} failed: {(reason or ['silently'])[0]}")
        linked.chmod(0o700)
        os.replace(linked, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("compiled %s seconds=%.1f", source.name, time.perf_counter() - begun_s)
