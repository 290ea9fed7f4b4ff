"""Formats: each adapter format against PEFT, as the table of docs/adapters.md.

For every format of `tests/formats.py`: PEFT makes and saves an adapter for a tiny
random model in float32; this server reads the folder and runs it merged, and mixed
where it can; its logits are compared with PEFT's own, beside the weights and (where
PEFT can) merged into them. It hides what real sizes and real training would show.

    python -m benchmarks.formats            about a minute
"""

import json
import tempfile
import warnings
from functools import cache
from pathlib import Path

import peft
import torch
import transformers

from hotswap.adapters.checkpoint import read
from hotswap.errors import AdapterRefused
from hotswap.model.eager.executor import EagerExecutor
from tests.formats import FORMATS
from tests.hotswap.test_parity import logits, make_runner, oracle
from tests.peft_format import Format

TOLERANCE = 1e-4


@cache
def runner_of(architecture: str, tied: bool) -> EagerExecutor:
    return make_runner(architecture, tied=tied)


def gaps(given: Format, folder: Path) -> tuple[str, dict[str, float]]:
    """The modes it runs in, and the largest gap between our logits and PEFT's."""
    runner = runner_of(given.architecture, given.tied)
    generation = read(folder, runner.layout)
    merged = logits(runner, generation, mixed=False)
    model = given.loaded(folder)
    beside = oracle(model)
    found = {"merged, PEFT beside": merged - beside}
    if generation.can_mix:
        found["mixed, PEFT beside"] = logits(runner, generation, mixed=True) - beside
    if given.peft_merges and not given.tied:
        found["merged, PEFT merged"] = merged - oracle(model.merge_and_unload())
    runner.forget(generation.key)
    modes = "merged, mixed" if generation.can_mix else "merged only"
    return modes, {name: float(gap.abs().max()) for name, gap in found.items()}


def main() -> None:
    warnings.simplefilter("ignore")  # PEFT's, while it makes the adapters
    torch.set_num_threads(1)
    print(
        f"Float32, PEFT {peft.__version__}, transformers {transformers.__version__}, "
        f"torch {torch.__version__}; pass: no logit differs by more than {TOLERANCE}.\n"
    )
    print("| format | model | modes | largest gap | result |")
    print("|---|---|---|---|---|")
    passed = 0
    for given in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            given.write(Path(folder))
            try:
                modes, found = gaps(given, Path(folder))
                gap = max(found.values())
                is_right = gap <= TOLERANCE
                result = "pass" if is_right else f"FAIL: {max(found, key=found.get)}"  # type: ignore[arg-type]
            except AdapterRefused as refused:
                modes, gap, is_right = "none", float("nan"), False
                result = f"FAIL: {refused.code}"
        passed += is_right
        tie = ", tied" if given.tied else ""
        model = f"{given.architecture}{tie}"
        print(
            f"| {given.name} | {model} | {modes} | {gap:.0e} | {result} |", flush=True
        )
    print(f"\n{json.dumps({'formats': len(FORMATS), 'passed': passed})}")


if __name__ == "__main__":
    main()
