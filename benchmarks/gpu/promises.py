"""`pytest -m gpu`: each promise of the design on the device.

The machine may lack the plugins that pyproject.toml sets up, hence no strict reading.
"""

import subprocess
import sys

from benchmarks.gpu.setting import Figures, Setting

# All that take a device. Those of one file first: with tiny shapes it is the only one.
_WHERE = [
    "tests/hotswap/gpu/test_kernels.py",
    "tests/hotswap/gpu",
    "tests/hotswap/test_cuda.py",
]


def run(setting: Setting) -> Figures:
    where = _WHERE[:1] if setting.tiny else _WHERE
    lenient = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *where, "-m", "gpu", "-q", *lenient]
    command += ["--continue-on-collection-errors", "-rfE", "--tb=short"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            if line.startswith(("FAILED", "ERROR")):
                name, _, why = line.strip().partition(" - ")
                yield name, why or "see the log"
    yield "pytest -m gpu", last.strip("= ")
