"""`pytest -m gpu`: each promise of the design on the device.

The machine may lack the plugins that pyproject.toml sets up, hence no strict reading.
Each test is told when it ends, as a deadline may cut off the rest. Most of the time
Triton compiles, in several processes where pytest-xdist is there.
"""

import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

from benchmarks.gpu.setting import Figures, Setting

# All that take a device: those that would not be believed without come first. With
# tiny shapes the first file is the only one.
_HERE = "tests/hotswap/gpu"
_WHERE = [
    f"{_HERE}/test_kernels.py",
    f"{_HERE}/test_executor.py",
    f"{_HERE}/test_visit.py",
    f"{_HERE}/test_executor_swaps.py",
    f"{_HERE}/test_executor_flights.py",
    f"{_HERE}/test_lora_cuda.py",
    _HERE,
    "tests/hotswap/test_cuda.py",
]
_PROCESSES = ["-n", "6", "--dist", "load", "--maxschedchunk", "1"]
# With xdist the outcome comes first.
_ENDED = re.compile(
    r"(?:\[gw\d+\] \[ *\d+%\] (?P<first>[A-Z]+) )?(?P<test>tests/\S+::.+?)"
    r"(?: (?P<last>PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b.*)?$"
)


def run(setting: Setting) -> Figures:
    where = _WHERE[:1] if setting.tiny else _WHERE
    lenient = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *where, "-m", "gpu", "-v", *lenient]
    command += ["--continue-on-collection-errors", "-rfE", "--tb=short"]
    if setting.is_cuda and find_spec("xdist"):
        command += _PROCESSES
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ended: Counter[str] = Counter()
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            if (found := outcome(line)) is not None:
                test, how = found
                ended[how] += 1
                if not sum(ended.values()) % 20:
                    yield "tests that ended so far", dict(ended)
                if how in ("FAILED", "ERROR"):
                    yield f"{how} {test}", "see the log"
            elif line.startswith(("FAILED", "ERROR")):
                name, _, why = line.strip().partition(" - ")
                yield name, why or "see the log"
    yield "pytest -m gpu", last.strip("= ")


def outcome(line: str) -> tuple[str, str] | None:
    """Of a line of `pytest -v` that says how a test ended: the test and how."""
    found = _ENDED.match(line.strip())
    if found is None or not (how := found["first"] or found["last"]):
        return None
    return found["test"], how
