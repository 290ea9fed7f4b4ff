"""The whole visit: `python -m benchmarks.gpu [--out FOLDER] [PART ...]`.

Each part runs in a process of its own until its deadline, so that a hang or a crash
costs that part's rest alone; figures are printed and written to `visit.json` as they
come, all output to `PART.log`. At the end: a table, the machine's costs in the form of
`benchmarks/machine.json`, and the figures as a last line of JSON.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.serving import machine_table
from benchmarks.gpu.table import table

# What is worth most comes first. Seconds; most parts end well before.
PARTS = {
    "ceilings": 45,  # the first to read torch from the disk
    "promises": 110,
    "steps:1b": 70,
    "serving:1b": 70,
    "steps:8b": 80,
    "kernels": 80,
    "serving:8b": 80,
    "sweep": 60,
    "peft:1b": 40,
}
WHOLE_S = 480


class Visit:
    """`found`: figures by part. Written to `out` as they come."""

    def __init__(self, out: Path, flags: list[str]) -> None:
        self.found: defaultdict[str, dict[str, object]] = defaultdict(dict)
        self._out, self._flags = out, flags
        out.mkdir(parents=True, exist_ok=True)

    def run(
        self, part: str, limit_s: float, command: Sequence[str] | None = None
    ) -> None:
        """`command`: what prints the figures, by default the part of this name."""
        begun = time.perf_counter()
        log = self._out / self.log_name(part)
        ours = [sys.executable, "-m", "benchmarks.gpu.part", part, *self._flags]
        with (
            log.open("w") as file,
            subprocess.Popen(
                command or ours,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            timer = threading.Timer(limit_s, _kill, [process])
            timer.start()
            assert process.stdout is not None
            for line in process.stdout:
                self._take(part, line)
                file.write(line)
                file.flush()
            code = process.wait()
            is_late = timer.finished.is_set()
            timer.cancel()
        how = "ended" if not code else "cut off" if is_late else f"failed, {code}"
        self.found[part]["how"] = how
        self.found[part]["seconds"] = round(time.perf_counter() - begun, 1)
        print(f"== {part}: {how} after {self.found[part]['seconds']} s", flush=True)
        if code:
            print("\n".join(log.read_text().splitlines()[-25:]), flush=True)
        self._write()

    def log_name(self, part: str) -> str:
        return f"{part.replace(':', '-')}.log"

    def _take(self, part: str, line: str) -> None:
        print(line, end="", flush=True)
        try:
            figures = json.loads(line)
        except ValueError:
            return
        if isinstance(figures, dict):
            self.found[part] |= figures
            self._write()

    def _write(self) -> None:
        (self._out / "visit.json").write_text(json.dumps(self.found, indent=1))

    def keep_costs(self) -> None:
        card = str(self.found["ceilings"].get("card", "CPU, with tiny shapes"))
        for part, figures in self.found.items():
            if state := figures.get("costs"):
                shape = part.partition(":")[2]
                kept = json.dumps(machine_table(shape, card, state), indent=2)
                name = "h100" if "cuda" in self._flags else "cpu"
                (self._out / f"{name}-{shape}.json").write_text(kept + "\n")


def _kill(process: subprocess.Popen[str]) -> None:
    """With all that it started."""
    os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("gpu-visit"))
    asked = parser.parse_args()
    flags = ["--device", asked.device, *(["--tiny"] if asked.tiny else [])]
    visit, begun = Visit(asked.out, flags), time.perf_counter()
    for part in asked.parts:
        left_s = WHOLE_S - (time.perf_counter() - begun)
        if left_s > 5:
            visit.run(part, min(PARTS[part], left_s))
    visit.keep_costs()
    told = table(visit.found)
    (asked.out / "table.md").write_text(told + "\n")
    print(told)
    print(json.dumps(visit.found))


if __name__ == "__main__":
    main()
