"""Ours beside vLLM and OpenVINO GenAI on a CPU: `python -m benchmarks.peers`.

The same model folder (SmolLM2-135M), adapters (rank 16 on all linear modules) and
traces (`benchmarks.peer_cases`). Each server computes in the type that it is fastest
in: ours chooses by itself, and vLLM is tried in bfloat16 and in float32. They are asked
in turn, case by case, over HTTP in a closed loop, as the speed of a shared machine
moves within minutes; who has no turn is stopped (SIGSTOP), as vLLM's processes wake up
all the time. OpenVINO GenAI, which has no server, and our runner generate in process:
16 prompts of 80 tokens, 64 tokens each, prefill included. The median speed of the
rounds, and the median of their ratios: ours / theirs, above 1 is faster.
`vllm` is the bare model, without LoRA: what merging has to reach. It is asked once in a
round for cases that differ in their adapters alone. `ours-on-vllm` is our server with
`--executor vllm`, in vLLM's type; `vllm-idle` the server with LoRA, asked for the bare
model: what it costs to have LoRA enabled. vLLM with LoRA has fewer requests,
as it takes half of the time. Hides: starting, compiling and loading adapters.
A quarter of an hour on two quiet cores; vLLM compiles for minutes besides, once.

Each peer lives in an environment of its own under --environments, made on demand with
--make-environments (several GB). One that is missing is left out.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import httpx
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from benchmarks import peer_report
from benchmarks.answers import Result
from benchmarks.environments import COMPARISONS, available
from benchmarks.in_process import InProcess
from benchmarks.peer_cases import CASES, NAMES, TRIAL, WARMUP, Case
from benchmarks.servers import Server, server
from hotswap.cache import cache_dir
from hotswap.demo.__main__ import model_file
from hotswap.model.load import convert_gguf

RANK = 16
ON_VLLM = "ours-on-vllm"
BARE = {"vllm", "vllm-idle"}  # are asked for the bare model only
# Of what is not measured: far from the rounds'.
WARMUP_SEED, TRIAL_SEED = 1_000_000, 2_000_000
Start = Callable[..., AbstractContextManager[Server]]


def write_adapters(model: Path, into: Path, names: Iterable[str] = NAMES) -> None:
    """As large as trained ones: merged into bfloat16 they lose a fifth of their update.
    Of smaller ones most would be rounded away, and ours would serve them mixed."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    targets = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets)
    wrapped = get_peft_model(base, config, autocast_adapter_dtype=False)
    for number, name in enumerate(names):
        random = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for path, parameter in wrapped.named_parameters():
                if "lora_" in path:
                    std = parameter.shape[1] ** -0.5 if "lora_A" in path else 1e-2
                    parameter.normal_(0, std, generator=random)
        wrapped.save_pretrained(into / name, save_embedding_layers=False)


def ask(name: str, asked: Server, case: Case, seed: int, share: float) -> Result:
    trace = case.trace(seed, has_lora=name == "vllm-lora", share=share)
    with asked.awake() as url:
        result = case.ask(url, trace, base_only=name in BARE)
    if result.errors:
        sys.exit(f"{name}, {case.name}: {result.errors[0]}")
    return result


def ask_in_turn(
    servers: dict[str, Server], number: int, share: float
) -> Iterator[tuple[str, Case, Result]]:
    """(server, case, result) of one round. No two rounds share a prompt, as a server
    may keep those it has seen."""
    bare: dict[tuple[str, int, int, int], Result] = {}
    for place, case in enumerate(CASES):
        seed = number * len(CASES) + place
        for name, asked in servers.items():
            if name not in BARE:
                yield name, case, ask(name, asked, case, seed, share)
                continue
            alike = name, *case.of_bare
            if alike not in bare:
                bare[alike] = ask(name, asked, case, seed, share)
            yield name, case, bare[alike]


def start_bare(start: Start, stack: ExitStack) -> tuple[Server, str]:
    """vLLM without LoRA in the type in which it answers sooner, and the type."""
    tried = {}
    for dtype in ("bfloat16", "float32"):
        own = stack.enter_context(ExitStack())
        one = own.enter_context(start("vllm", dtype=dtype))
        one.pause()
        ask("vllm", one, TRIAL, TRIAL_SEED, 1.0)  # warms up
        figures = ask("vllm", one, TRIAL, TRIAL_SEED + 1, 1.0).figures()
        tried[dtype] = (figures[TRIAL.figure] or 0.0, one, own)
    best = max(tried, key=lambda dtype: tried[dtype][0])
    for dtype, (speed, _, own) in tried.items():
        print(f"vLLM, {TRIAL.clients} clients, {dtype}: {speed:.1f} tokens/s")
        if dtype != best:
            own.close()
    return tried[best][1], best


def start_all(
    chosen: list[str], start: Start, stack: ExitStack, share: float
) -> tuple[dict[str, Server], dict[str, str]]:
    """The servers, paused and warm, and the type in which each computes."""
    up: dict[str, Server] = {}
    dtypes: dict[str, str] = {}
    if not {"vllm", "vllm-lora", ON_VLLM}.isdisjoint(chosen):
        up["vllm"], dtypes["vllm"] = start_bare(start, stack)
    if "vllm-lora" in chosen:
        dtype = dtypes["vllm-lora"] = dtypes["vllm"]
        up["vllm-lora"] = stack.enter_context(start("vllm-lora", dtype=dtype))
        if "vllm-idle" in chosen:
            up["vllm-idle"], dtypes["vllm-idle"] = up["vllm-lora"], dtype
    if ON_VLLM in chosen:
        dtype = dtypes[ON_VLLM] = dtypes["vllm"]
        up[ON_VLLM] = stack.enter_context(start(ON_VLLM, dtype=dtype))
    if up:
        up["ours"] = stack.enter_context(start("ours", dtype="auto"))
        dtypes["ours"] = up["ours"].logged(r"computing in ([^:\n]*)") or "auto"
        rows = httpx.get(f"{up['ours'].url}/v1/adapters").json()["data"]
        if not all(row["can_merge"] for row in rows):
            sys.exit("ours: not every adapter can be merged, so nothing is measured")
    asked = {name: up[name] for name in ("ours", *chosen) if name in up}
    for name, each in asked.items():
        each.pause()
        ask(name, each, WARMUP, WARMUP_SEED, share)
        print(f"{name} computes in {dtypes[name]}", flush=True)
    return asked, dtypes


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


def main() -> None:
    args = arguments()
    chosen = available(args.only, args.environments, make=args.make_environments)
    if not chosen:
        return
    if os.getloadavg()[0] > 0.5:
        # Threads that wait for each other suffer far more than their share.
        print(f"others are at work here (load {os.getloadavg()[0]:.1f}): not a measure")
    model = convert_gguf(model_file())
    speeds: peer_report.Rounds = defaultdict(lambda: defaultdict(list))
    waits: peer_report.Rounds = defaultdict(lambda: defaultdict(list))
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        adapters = Path(scratch) / "adapters"
        write_adapters(model, adapters)
        # Before the servers: it takes all of the CPU to export the model.
        ov, one = args.environments / "ov", adapters / NAMES[0]
        pair = InProcess(model, one, ov) if "openvino" in chosen else None
        start = partial(
            server,
            model=model,
            adapters=adapters,
            environments=args.environments,
            rank=RANK,
        )
        servers, dtypes = start_all(chosen, start, stack, args.share)
        for number in range(args.rounds):
            for who, case, result in ask_in_turn(servers, number, args.share):
                figures = result.figures()
                speeds[case.name][who].append(figures[case.figure] or 0.0)
                wait = figures["steady_ttft_p50_ms" if case.is_cut else "ttft_p50_ms"]
                if wait is not None:  # in a quick look a window may be empty
                    waits[case.name][who].append(wait)
            if pair is not None:
                for who, measure in (("ours", pair.ours), ("openvino", pair.theirs)):
                    for name, speed in measure(number).items():
                        speeds[f"in process, {name}"][who].append(speed)
            took_s = time.monotonic() - begun_s
            print(f"round {number + 1}: {took_s:.0f} s in all", flush=True)
    ratios = peer_report.speeds(chosen, speeds)
    if ON_VLLM in chosen:
        others = [who for who in servers if who != ON_VLLM]
        ratios |= peer_report.speeds(others, speeds, ON_VLLM)
    peer_report.first_tokens(list(servers), waits)
    met = peer_report.targets(speeds)
    found = {"dtypes": dtypes, "ratios": ratios, "met": met}
    print(json.dumps(found | {"tokens_per_s": speeds, "ttft_p50_ms": waits}))


if __name__ == "__main__":
    main()
