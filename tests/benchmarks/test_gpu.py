"""The visit to a GPU: every part runs, and none can take the others with it."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as visit
from benchmarks.gpu.promises import outcome
from benchmarks.gpu.table import table

TINY = ["--device", "cpu", "--tiny"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "ceilings",
        "promises",
        "steps:1b",
        "serving:1b",
        "kernels",
        "sweep",
        "peft:1b",
    ],
)
def test_each_part_runs_on_a_cpu(tmp_path: Path, part: str) -> None:
    pytest.importorskip("triton")
    tour = visit.Visit(tmp_path, TINY)

    tour.run(part, 200.0)

    assert tour.found[part]["how"] == "ended", (
        tmp_path / tour.log_name(part)
    ).read_text()
    assert len(tour.found[part]) > 2
    assert json.loads((tmp_path / "visit.json").read_text()) == tour.found


def test_every_part_has_a_deadline_and_all_fit_into_ten_minutes() -> None:
    tested = {"ceilings", "promises", "steps", "serving", "kernels", "sweep", "peft"}
    assert {part.partition(":")[0] for part in visit.PARTS} == tested
    assert visit.WHOLE_S <= 480
    assert sum(visit.PARTS.values()) <= 640  # most end long before


def test_a_part_that_hangs_or_crashes_leaves_what_it_found(tmp_path: Path) -> None:
    tour = visit.Visit(tmp_path, [])
    hangs = "import signal; print('{\"one\": 1}', flush=True); signal.pause()"
    crashes = "print('no JSON'); print('{\"two\": 2}'); raise SystemExit(3)"

    tour.run("hangs", 3.0, [sys.executable, "-c", hangs])
    tour.run("crashes", 60.0, [sys.executable, "-c", crashes])

    found = json.loads((tmp_path / "visit.json").read_text())
    assert (found["hangs"]["one"], found["hangs"]["how"]) == (1, "cut off")
    assert (found["crashes"]["two"], found["crashes"]["how"]) == (2, "failed, 3")


def test_the_table_says_what_was_missed() -> None:
    figures = {"golden, b 1, ms": 1.2, "golden, b 16, ms": 1.5, "cold swap, ms": 2.0}

    told = table({"steps:1b": figures}).splitlines()

    assert "| 1b decoding, b 1, ms | 0.74 | 1.5 | <= 1.3 | 1.2 | reached |" in told
    assert "| 1b decoding, b 16, ms | 0.82 | 1.6 | <= 1.4 | 1.5 | missed |" in told
    assert "| 1b decoding, b 64, ms | 1.1 | 2.0 | <= 1.8 | none | |" in told
    assert "| 1b cold swap, ms |  |  | <= 2.0 | 2.0 | reached |" in told


def test_the_table_says_what_ran_otherwise_than_it_should() -> None:
    eager = {"executor": "llama", "warning: it runs eager": "hotswap.model"}

    told = table({"steps:1b": eager, "promises": {"FAILED a.py::b": "see the log"}})

    assert "| steps:1b executor | | | | llama | |" in told
    assert "| steps:1b warning: it runs eager | | | | hotswap.model | |" in told
    assert "| promises FAILED a.py::b | | | | see the log | |" in told


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tests/a.py::b[cuda-1 - 2] PASSED     [ 10%]", ("b[cuda-1 - 2]", "PASSED")),
        ("[gw3] [ 12%] FAILED tests/a.py::b[cuda] ", ("b[cuda]", "FAILED")),
        ("tests/a.py::b[cuda] ", None),  # begins
        ("FAILED tests/a.py::b[cuda] - assert 1 == 2", None),  # told at the end, too
        ("tests/a.py:33: in b", None),
    ],
)
def test_how_a_promise_ended_is_read_as_it_ends(
    line: str, found: tuple[str, str] | None
) -> None:
    wanted = None if found is None else (f"tests/a.py::{found[0]}", found[1])
    assert outcome(f"{line}\n") == wanted


def test_the_measured_costs_are_kept_in_the_form_of_machine_json(
    tmp_path: Path,
) -> None:
    tour = visit.Visit(tmp_path, ["--device", "cuda"])
    tour.found["ceilings"]["card"] = "NVIDIA H100"
    tour.found["serving:8b"]["costs"] = {"warm": [0.1]}

    tour.keep_costs()

    kept = json.loads((tmp_path / "h100-8b.json").read_text())
    ours = json.loads(Path("benchmarks/machine.json").read_text())
    assert kept.keys() == ours.keys()
    assert kept["state"] == {"warm": [0.1]}
    assert "NVIDIA H100" in kept["how"]
