"""Draw what `benchmarks.field` found: rate, skew, break-even and budget, one file each.

    python -m benchmarks.field_plots benchmarks/field.json docs

Needs matplotlib: `pip install -e .[plots]`. Measures nothing itself.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "hotswap"  # the same picture from the same figures
# Okabe and Ito's colours, which the colour-blind tell apart; markers do it in print.
STYLES = {
    "affinity": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "fcfs-mixed": {"color": "#E69F00", "marker": "s", "linestyle": "-"},
    "fcfs-merged": {"color": "#555555", "marker": "^", "linestyle": "--"},
    "dlora-credits": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
}
SIMULATED = "On the simulator: an 8B on an H100, computed, not measured; 32 adapters"
Found = dict[str, Any]


def rate(found: Found, into: Path) -> None:
    figure, panels = plt.subplots(
        1, 3, figsize=(10, 3.6), layout="constrained", sharey=True
    )
    for panel, (zipf, lines) in zip(panels, found["rate"].items(), strict=True):
        for name, line in lines.items():
            panel.plot(found["rates"], line, label=name, **STYLES[name])
        panel.set_yscale("log")
        panel.set_title(f"zipf {zipf}", fontsize=10)
        panel.set_xlabel("requests/s")
    panels[0].set_ylabel("latency per token of the answer, s")
    finish(figure, panels[0], into / "rate.svg")


def skew(found: Found, into: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for at, (panel, title) in enumerate(zip(panels, ("mean", "p90"), strict=True)):
        for name, line in found["skew"].items():
            values = [point[at] for point in line]
            panel.plot(found["skews"], values, label=name, **STYLES[name])
        panel.set_yscale("log")
        panel.set_xticks(found["skews"])
        panel.set_xlabel("skew (zipf exponent), 42 requests/s")
        panel.set_ylabel(f"{title} latency of a request, s")
    finish(figure, panels[0], into / "skew.svg")


def break_even(found: Found, into: Path) -> None:
    figure, panel = plt.subplots(figsize=(5, 4), layout="constrained")
    for (name, points), (label, shade, marker) in zip(
        found["break-even"].items(),
        (
            ("measured costs, 2 CPU cores", "#0072B2", "o"),
            ("computed costs, H100", "#E69F00", "s"),
        ),
        strict=True,
    ):
        assert points, f"{name} never breaks even"
        told, seen = zip(*points, strict=True)
        panel.plot(told, seen, marker, color=shade, label=label)
    most = max(x for line in found["break-even"].values() for p in line for x in p)
    panel.plot([1, most], [1, most], color="black", linewidth=0.8, linestyle=":")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("foretold: swap / (mixed step - merged step), steps")
    panel.set_ylabel("on the simulator: merged is ahead after, steps")
    panel.legend()
    figure.savefig(into / "break-even.svg", metadata={"Date": None})


def budget(found: Found, into: Path) -> None:
    figure, panel = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, points in found["budget"].items():
        waits, tokens = zip(*points, strict=True)
        panel.plot(waits, tokens, label=name, **STYLES[name])
    for share, (wait, tokens) in zip(
        found["budgets"], found["budget"]["affinity"], strict=True
    ):
        if share in (0.01, 0.05, 0.4):  # more would lie over each other
            panel.annotate(
                f"{share:.0%}", (wait, tokens), (6, 6), textcoords="offset points"
            )
    panel.set_xlabel("longest wait for a first token, s")
    panel.set_ylabel("tokens/s, 64 clients")
    finish(figure, panel, into / "budget.svg")


def finish(figure: Any, legend: Any, path: Path) -> None:
    legend.legend(fontsize=8)
    figure.suptitle(SIMULATED, fontsize=10)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field_plots")
    parser.add_argument("found", type=Path)
    parser.add_argument("into", type=Path)
    args = parser.parse_args()
    args.into.mkdir(exist_ok=True)
    found = json.loads(args.found.read_text())
    for draw in (rate, skew, break_even, budget):
        draw(found, args.into)


if __name__ == "__main__":
    main()
