"""The notebooks of examples/, from top to bottom; what they show is what they do.

Who has changed one stores its outputs anew:
.venv/bin/jupyter execute --inplace examples/adapters_basic.ipynb
"""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.pages import ROOT

NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))
# What each prints, wherever it runs.
PRINTED = {
    "adapters_basic": [
        "'smol': {'status': 'Healthy'}",
        r"body +\('pirate', .*(Arr|Ahoy|Yo ho|Shiver)",
        r"query +\('pirate', ",
        r"header +\('pirate', ",
        "sql +'SELECT email FROM people WHERE age > 72;'",
        "sentiment +'positive'",
        'orders +\'{"item": "pillow", "colour": "red", "count": 7, "city": "London"}\'',
        "base +'.*Paris",
        r"\(424, .*`poet` is not registered",
    ],
    "adapters_advanced": [
        "'Adapter captain registered'",
        "'Adapter captain updated'",
        "'name': 'captain', 'src': 'pirate', 'preload': True, 'pin': True",
        r"\['captain', 'orders', 'pirate'\]\n\['sentiment', 'sql'\]",
        "409 The adapter captain already exists",
        "200 Adapter captain unregistered",
        "424 .*`captain` is not registered",
        r"\('corsair', ",
        "'Workflow \"harbour\" registered.'",
        "'workflows': \\[{'workflowName': 'sentiment'}\\]",
        "<Figure size",
    ],
    "adapters_environment": [
        "without effect here: .*OPTION_GPU_MEMORY_UTILIZATION",
        "'test': {'status': 'Healthy'}",
        "pirate +failed +.*rank 16; the limit is 8",
        "orders +ready",
        r"sql +{.*'sentiment': 'disk'|sql +{.*'orders': 'disk'",
        r"\('orders, sentiment, sql', 3\)",
        "2 hotswap: .*long-context LoRA is not supported",
        "LoRA is not enabled.",
    ],
}
PATHS = re.compile(r"/(home|root|tmp|work|usr|opt|var|Users|private)\b")


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> str:
    """All text of its outputs."""
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in outputs
    )


def test_all_notebooks_are_known() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(PRINTED)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = read(path)
    place = {"metadata": {"path": str(tmp_path)}}

    NotebookClient(notebook, timeout=200, resources=place).execute()

    for expected in PRINTED[path.stem]:
        assert re.search(expected, printed(notebook)), printed(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_of_one_run_of_the_cells_that_are_there(path: Path) -> None:
    notebook = read(path)

    assert [cell.execution_count for cell in code(notebook)] == list(
        range(1, len(code(notebook)) + 1)
    )
    for expected in PRINTED[path.stem]:
        assert re.search(expected, printed(notebook)), printed(notebook)
    assert not PATHS.search(printed(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_asks_another_host(path: Path) -> None:
    said = "\n".join(cell.source for cell in code(read(path)))

    assert not re.search(r"https?://|pip install|^[!%]", said, re.M)
    assert json.loads(path.read_text())["nbformat"] == 4
