"""One part of the visit: `python -m benchmarks.gpu.part NAME [--device cpu --tiny]`.

Prints a line `{"name": value}` for each figure as soon as it is known, so that whatever
ends this process leaves what was found.
"""

import argparse
import importlib
import json
import logging

import torch

from benchmarks.gpu.setting import Setting
from tests.hotswap.gpu.interpreter import mend


class _Warnings(logging.Handler):
    """Figures, too: an executor or a step that runs otherwise than it should changes
    what all others mean."""

    def emit(self, record: logging.LogRecord) -> None:
        said = f"warning: {record.getMessage()}"
        print(json.dumps({said: record.name}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.part")
    parser.add_argument("name", help="module, and after a colon what it is to run")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)  # to stderr: why it runs as it does
    logging.getLogger("hotswap").addHandler(_Warnings(logging.WARNING))
    module, _, argument = asked.name.partition(":")
    part = importlib.import_module(f"benchmarks.gpu.{module}")
    if asked.device == "cpu":
        mend()  # Triton's kernels run in its interpreter: `tests` has seen to that
    setting = Setting(torch.device(asked.device), asked.tiny)
    for name, value in part.run(setting, *([argument] if argument else [])):
        rounded = float(f"{value:.4g}") if isinstance(value, float) else value
        print(json.dumps({name: rounded}), flush=True)


if __name__ == "__main__":
    main()
