"""Compile kernels for a GPU without one, exactly as a call would launch them.

Triton brings its own LLVM and ptxas, so only the launch needs a device. In a process of
its own (the tests' process interprets kernels, and `triton.jit` decides that once) this
calls functions that launch kernels, on meta tensors: each launch is compiled with its
very arguments, block sizes and warps for the compute capability asked for, and not run.
A function that reads a value back fails here, too: a meta tensor has none.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget

MAX_SHARED = {80: 163 << 10, 86: 99 << 10, 90: 227 << 10}  # bytes a block may ask for


@dataclass(frozen=True)
class Compiled:
    """One kernel as a GPU would get it."""

    case: str  # the key in LAUNCHES
    kernel: str
    capability: int  # 90: sm_90a
    grid: tuple[int, ...]
    registers: int  # of a thread; 255 is the most
    spilled: int  # bytes of stack of a thread: registers that did not fit
    shared: int  # bytes a block
    warps: int

    def __str__(self) -> str:
        return (
            f"sm_{self.capability} {self.case}: {self.kernel}, grid {self.grid}, "
            f"{self.warps} warps, {self.registers} registers, {self.spilled} B spilled,"
            f" {self.shared} B shared"
        )


def compile_launches(module: str, capability: int, cases: str = "") -> list[Compiled]:
    """What the calls in `module`'s LAUNCHES launch, compiled for the capability.

    LAUNCHES maps a case's name to a function without arguments. `cases` is a regular
    expression for the names (all by default). AssertionError with the compiler's words
    if one does not compile, or reads a value back.
    """
    env = os.environ | {"TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", __name__, module, str(capability), cases]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [
        Compiled(**{**kernel, "grid": tuple(kernel["grid"])})
        for kernel in json.loads(done.stdout)
    ]


class _NoDevice:
    """Stands for the driver: names the target, has nothing to launch on."""

    def __init__(self, target: object) -> None:
        self._target = target

    def get_current_target(self) -> object:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def _compile_each(
    launches: Mapping[str, Callable[[], object]], capability: int, cases: str
) -> list[Compiled]:
    """Runs in the process without an interpreter: see the module."""
    triton.runtime.driver.set_active(_NoDevice(GPUTarget("cuda", capability, 32)))
    compiled: list[Compiled] = []

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kw: Any) -> None:
        kernel = run(self, *args, grid=grid, warmup=True, **kw)
        registers, spilled = _resources(kernel.asm["cubin"])
        compiled.append(
            Compiled(
                case=case,
                kernel=kernel.name,
                capability=capability,
                grid=tuple(grid),
                registers=registers,
                spilled=spilled,
                shared=kernel.metadata.shared,
                warps=kernel.metadata.num_warps,
            )
        )

    run = triton.JITFunction.run
    triton.JITFunction.run = compile_only
    for case, launch in launches.items():
        if re.search(cases, case):
            launch()
    return compiled


def _resources(cubin: bytes) -> tuple[int, int]:
    """(registers, bytes of stack) of a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout)
    assert found, said.stdout
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    module, capability, cases = sys.argv[1:]
    launches = importlib.import_module(module).LAUNCHES
    compiled = _compile_each(launches, int(capability), cases)
    json.dump([asdict(kernel) for kernel in compiled], sys.stdout)
