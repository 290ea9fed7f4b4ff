"""`hotswap status`: what a running server does, in a few lines."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hotswap.commands.remote import Remote, add_flags
from hotswap.commands.table import table


def add_to(commands: Any) -> None:
    status = commands.add_parser("status", help="what a running server does")
    add_flags(status)
    status.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    remote = Remote(args.url, args.key)
    told = remote.ask("GET", "/v1/status")
    if args.json:
        print(json.dumps(told))
        return 0
    rows = remote.ask("GET", "/v1/adapters")["data"]
    print(table(("server", remote.url), list(_lines(told, rows))))
    return 0


def _lines(told: dict[str, Any], adapters: list[dict[str, Any]]) -> Iterator[list[str]]:
    """What is it, and what stands beside it."""
    names = {row["generation"]: row["name"] for row in adapters}
    count, memory, executor = told["counters"], told["memory"], told["executor"]
    states = Counter(row["state"] for row in adapters)
    yield ["model", f"{told['model']}, {executor['kind']} {executor.get('dtype', '')}"]
    yield ["adapters", ", ".join(f"{n} {s}" for s, n in states.items()) or "none"]
    merged = ["base"] if told["resident"] == "base" else []
    merged = merged or [names.get(told["resident"], told["resident"])]
    others = sorted(names.get(key, key) for key in told["warm"])
    yield ["merged now", f"{merged[0]} ({memory['slots']} slots: {', '.join(others)})"]
    yield ["jobs", f"{told['live']} begun, {told['waiting']} waiting"]
    used = told["kv_tokens"] - told["free_kv_tokens"]
    yield ["KV", f"{used:,} of {told['kv_tokens']:,} tokens"]
    swaps = f"{count['cold_swaps']} cold, {count['warm_swaps']} warm"
    yield ["swaps", f"{swaps}, {count['swap_seconds']:.1f} s in all"]
    steps = f"{count['merged_steps']:,} merged, {count['mixed_steps']:,} mixed"
    yield ["steps", f"{steps}, {count['step_seconds']:.1f} s in all"]
    yield ["tokens", f"{count['generated_tokens']:,} generated"]
    ends = ("finished", "failed", "cancelled", "refused")
    yield ["requests", ", ".join(f"{count[end]:,} {end}" for end in ends)]
    bound = told["wait_bound_s"]
    yield ["first token", "no bound" if bound is None else f"within {bound:.1f} s"]
    if told["recent"]:
        yield ["last decision", str(told["recent"][-1]["why"])]
    if told["is_stopping"]:
        yield ["", "it is stopping"]
