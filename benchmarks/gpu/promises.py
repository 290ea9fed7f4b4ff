"""`pytest -m gpu`: each promise of the design on the device.

The machine may lack the plugins that pyproject.toml sets up, hence no strict reading.
"""

import subprocess
import sys

from benchmarks.gpu.setting import Figures, Setting


def run(setting: Setting) -> Figures:
    where = "tests/hotswap/gpu/test_kernels.py" if setting.tiny else "tests/hotswap"
    lenient = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", where, "-m", "gpu", "-q", *lenient]
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
