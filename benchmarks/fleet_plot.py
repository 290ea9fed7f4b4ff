"""Draw docs/fleet.svg from the last line that `benchmarks.fleet` printed:

    python -m benchmarks.fleet | tail -1 > benchmarks/fleet.json
    python -m benchmarks.fleet_plot benchmarks/fleet.json docs

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
    "least loaded": {"color": "#E69F00", "marker": "s", "linestyle": "-"},
    "random": {"color": "#555555", "marker": "^", "linestyle": "--"},
    "consistent hashing": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
}
PANELS = (
    ("tokens_per_s", "tokens/s of each replica"),
    ("ttft_p50", "p50 of the first token, s"),
    ("ttft_p99", "p99 of the first token, s"),
    ("reads", "adapters read, by 100 requests"),
)
Found = dict[str, Any]


def draw(found: Found, into: Path) -> None:
    """A row for each load and popularity, a panel for each figure."""
    cases = sorted({(r["load"], r["popularity"]) for r in found["rows"]})
    figure, grid = plt.subplots(
        *(len(cases), len(PANELS)),
        figsize=(12, 2.4 * len(cases)),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for panels, case in zip(grid, cases, strict=True):
        for panel, (field, label) in zip(panels, PANELS, strict=True):
            for balancer, style in STYLES.items():
                line = sorted(
                    (row["replicas"], row[field])
                    for row in found["rows"]
                    if (row["load"], row["popularity"], row["balancer"])
                    == (*case, balancer)
                )
                panel.plot(*zip(*line, strict=True), label=balancer, **style)
            panel.set_xscale("log")
            if field == "ttft_p99":
                panel.set_yscale("log")
            else:
                panel.set_ylim(bottom=0)
            panel.set_title(label, fontsize=9)
        load, popularity = case
        kind = "drifting" if popularity == "drifting" else "zipf(1)"
        panels[0].set_ylabel(f"load {load}, {kind}")
    for panel in grid[-1]:
        panel.set_xlabel("replicas")
    grid[0][0].legend(fontsize=7)
    figure.suptitle(
        f"On the simulator, costs of `{found['machine']}`; 100,000 adapters",
        fontsize=10,
    )
    figure.savefig(into / "fleet.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet_plot")
    parser.add_argument("found", type=Path)
    parser.add_argument("into", type=Path)
    args = parser.parse_args()
    draw(json.loads(args.found.read_text()), args.into)


if __name__ == "__main__":
    main()
