"""Whether there is a compiler for the product's C files, a mark for what needs one, and
what it makes of them.

Where there is one, a file that it does not take is a failure, and no reason to skip.
"""

import ctypes
import shutil
import sys
from pathlib import Path

import pytest

from hotswap.model.machine import native

IS_HERE = sys.platform == "linux" and shutil.which("cc") is not None

needs_compiler = pytest.mark.skipif(not IS_HERE, reason="no C compiler (cc) on Linux")


def compiled(source: Path, folder: Path, **defined: int) -> ctypes.CDLL:
    """The product's C file with macros defined, in a cache of its own."""
    for header in source.parent.glob("*.h"):
        shutil.copy(header, folder)
    told = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    copy = folder / source.name
    copy.write_text(told + source.read_text())
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder))
        return native.library(copy)
