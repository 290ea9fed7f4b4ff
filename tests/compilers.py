"""Whether there is a compiler for the product's C file, and a mark for what needs one.

Where there is one, a file that it does not take is a failure, and no reason to skip.
"""

import shutil
import sys

import pytest

IS_HERE = sys.platform == "linux" and shutil.which("cc") is not None

needs_compiler = pytest.mark.skipif(not IS_HERE, reason="no C compiler (cc) on Linux")
