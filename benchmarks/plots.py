"""Draw the figures of docs/benchmarks.md from what three benchmarks printed last:

    python -m benchmarks.modes | tail -1 > modes.json
    python -m benchmarks.swap | tail -1 > swap.json
    python -m benchmarks.curves | tail -1 > curves.json
    python -m benchmarks.plots modes.json swap.json curves.json docs

Needs matplotlib: `pip install -e .[plots]`. Measures nothing itself.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "hotswap"  # the same picture from the same figures
BLUE, ORANGE, GREY = "#3366aa", "#dd8833", "#999999"


def colour(name: str) -> str:
    if name.startswith("PEFT"):
        return GREY
    return ORANGE if name.startswith("mixed") else BLUE


def modes(found: dict[str, float], into: Path) -> None:
    """Step time by mode, for one sequence and for sixteen."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for panel, sequences in zip(panels, (1, 16), strict=True):
        end = f", n {sequences}, ms"
        times = {k.removesuffix(end): v for k, v in found.items() if k.endswith(end)}
        names = list(times)[::-1]
        panel.barh(names, [times[n] for n in names], color=[colour(n) for n in names])
        panel.axvline(times["golden"], color="black", linewidth=0.8, linestyle=":")
        panel.set_title(f"{sequences} sequence{'s' * (sequences > 1)}")
        panel.set_xlabel("ms per decoding step")
    figure.savefig(into / "modes.svg", metadata={"Date": None})


def swap(found: dict[str, float], into: Path) -> None:
    """What it takes to make an adapter resident, by rank."""
    figure, panel = plt.subplots(figsize=(5, 3.4), layout="constrained")
    ranks = [8, 16, 64]
    for key, label, shade in (
        ("cold", "cold: build a slot from golden", BLUE),
        ("warm", "warm: flip pointers", ORANGE),
        ("peft", "PEFT: merge and unmerge", GREY),
    ):
        times = [found[f"{key}_r{rank}_ms"] for rank in ranks]
        panel.plot(ranks, times, marker="o", label=label, color=shade)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(ranks, [str(rank) for rank in ranks])
    panel.set_xlabel("rank, all linear modules")
    panel.set_ylabel("ms")
    panel.legend()
    figure.savefig(into / "swap.svg", metadata={"Date": None})


def policies(found: dict[str, list[float]], into: Path) -> None:
    """Throughput against the number of adapters, and first tokens against load."""
    figure, (many, busy) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, shade, line in (
        ("affinity", BLUE, "-"),
        ("fcfs-mixed", ORANGE, "-"),
        ("fcfs-merged", GREY, "-"),
        ("dlora-credits", GREY, ":"),
    ):
        style = {"color": shade, "linestyle": line, "marker": "o", "label": name}
        many.plot(found["adapters"], found[f"adapters, {name}"], **style)
        busy.plot(found["load"], found[f"load, {name}"], **style)
    many.set_xscale("log")
    many.set_xticks(found["adapters"], [str(count) for count in found["adapters"]])
    many.set_ylim(bottom=0)
    many.set_xlabel("adapters, closed loop of 64 clients")
    many.set_ylabel("tokens/s")
    busy.set_yscale("log")
    busy.set_xlabel("Poisson arrivals, share of capacity; 32 adapters")
    busy.set_ylabel("p99 of the first token, s")
    many.legend()
    figure.suptitle(
        "On the simulator: an 8B on an H100, computed, not measured", fontsize=10
    )
    figure.savefig(into / "policies.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots")
    parser.add_argument("modes", type=Path)
    parser.add_argument("swap", type=Path)
    parser.add_argument("curves", type=Path)
    parser.add_argument("into", type=Path)
    args = parser.parse_args()
    args.into.mkdir(exist_ok=True)
    modes(json.loads(args.modes.read_text()), args.into)
    swap(json.loads(args.swap.read_text()), args.into)
    policies(json.loads(args.curves.read_text()), args.into)


if __name__ == "__main__":
    main()
