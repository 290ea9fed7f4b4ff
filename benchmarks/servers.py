"""Servers to compare: ours and vLLM's, started on a free port and ended with all of
theirs. Used by `benchmarks.peers`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from benchmarks.environments import COMPARISONS


@dataclass(frozen=True, slots=True)
class Server:
    """One that is up. `process` leads a group of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: IO[str]

    def pause(self) -> None:
        """Until it is asked again it takes no time of the CPU: vLLM's processes wake up
        many times a second, ours look at a folder."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[str]:
        """The URL, while it is paused no longer."""
        os.killpg(self.process.pid, signal.SIGCONT)
        yield self.url
        self._settle()
        self.pause()

    def _settle(self, patience_s: float = 30.0) -> None:
        """Until what was cut off is let go of: a step that is stopped halfway would be
        learned as one of a minute. A server with no work takes under a tenth of a core.
        """
        until = time.monotonic() + patience_s
        used_s = cpu_s(self.process.pid)
        while time.monotonic() < until:
            time.sleep(0.5)
            before_s, used_s = used_s, cpu_s(self.process.pid)
            if used_s - before_s < 0.05:
                return

    def logged(self, pattern: str) -> str | None:
        """The pattern's group in the first line of the log that has it."""
        size = os.fstat(self.log.fileno()).st_size
        # Not by seek: the server writes where the file stands.
        text = os.pread(self.log.fileno(), size, 0).decode(errors="replace")
        found = re.search(pattern, text)
        return found[1] if found else None


def cpu_s(group: int) -> float:
    """Seconds of the CPU that a group of processes has used."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # After the name, which may hold blanks: state, parent, group, ...
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def vllm_variables(environment: Path) -> dict[str, str]:
    """As vLLM's CPU guide says: its allocator and OpenMP first, threads bound."""
    preload = [
        *sorted(Path("/usr/lib").glob("*/libtcmalloc_minimal.so.4")),
        environment / "lib/libiomp5.so",
    ]
    return {
        "LD_PRELOAD": ":".join(map(str, preload)),
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}",
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def server(
    name: str, model: Path, adapters: Path, environments: Path, *, rank: int, dtype: str
) -> Iterator[Server]:
    """`ours`, `ours-on-vllm`, `vllm` or `vllm-lora`, up with its adapters; ended
    after."""
    names = sorted(folder.name for folder in adapters.iterdir())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables: dict[str, str] = {}
    environment = environments / COMPARISONS.get(name, "")
    if name == "ours":
        command = [sys.executable, "-m", "hotswap.cli", "serve", str(model)]
        command += ["--adapters", str(adapters), "--port", port, "--dtype", dtype]
    elif name == "ours-on-vllm":
        variables = {**vllm_variables(environment), "PYTHONPATH": os.getcwd()}
        command = [str(environment / "bin/python"), "-m", "hotswap.cli", "serve"]
        # A directory has one server.
        own = shutil.copytree(adapters, adapters.with_name(f"{adapters.name}-too"))
        command += [str(model), "--adapters", str(own), "--port", port]
        command += ["--dtype", dtype, "--executor", "vllm"]
    else:
        variables = vllm_variables(environment)
        # This build's `vllm serve` does not start; its module does.
        command = [str(environment / "bin/python"), "-m"]
        command += ["vllm.entrypoints.openai.api_server", "--model", str(model)]
        command += ["--served-model-name", "base", "--host", "127.0.0.1"]
        command += ["--port", port, "--dtype", dtype]
        command += ["--max-model-len", "1024", "--max-num-seqs", "32"]
    if name == "vllm-lora":
        command += ["--enable-lora", "--max-loras", str(len(names))]
        command += ["--max-lora-rank", str(rank), "--lora-modules"]
        command += [f"{each}={adapters / each}" for each in names]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wanted = set() if name == "vllm" else set(names)
            while not _serves(url, wanted):
                if process.poll() is not None:
                    log.seek(0)
                    sys.exit(f"{name} did not start:\n{log.read()[-3000:]}")
                time.sleep(0.5)
            yield Server(url, process, log)
        finally:
            _end(process)


def _serves(url: str, wanted: set[str]) -> bool:
    try:
        if httpx.get(f"{url}/health", trust_env=False).status_code != 200:
            return False
        models = httpx.get(f"{url}/v1/models", trust_env=False).json()["data"]
    except httpx.TransportError:
        return False
    return wanted <= {model["id"] for model in models}


def _end(process: subprocess.Popen[bytes], patience_s: float = 30.0) -> None:
    """The whole group: vLLM's engine and worker are processes of their own, which
    outlive the first. SIGCONT, as one that is paused hears nothing else."""
    with suppress(ProcessLookupError):
        for number in (signal.SIGTERM, signal.SIGCONT):
            os.killpg(process.pid, number)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            process.poll()  # ended, it would be of the group until it is waited for
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
