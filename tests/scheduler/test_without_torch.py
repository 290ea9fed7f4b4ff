"""The scheduler and its tests need the standard library and pytest alone."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARRED = ("torch", "transformers", "peft", "msgspec", "litestar", "numpy")
PROGRAM = f"""
import sys
import pytest

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BARRED}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Barred())
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_they_do_needs_nothing_else() -> None:
    """A part of them here. All of them, by hand, in an empty environment: pip install
    hypothesis, pytest, pytest-asyncio, pytest-timeout, pytest-xdist."""
    found = run("tests/scheduler/test_job.py", "tests/scheduler/test_scheduler.py")

    assert found.returncode == 0, found.stdout[-3000:]


def test_they_import_nothing_else() -> None:
    found = run("tests/scheduler", "--collect-only")

    assert found.returncode == 0, found.stdout[-3000:]


def test_what_is_barred_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import torch\n")

    found = run(str(tmp_path), "--rootdir", str(tmp_path), "-c", "/dev/null")

    assert "torch is not there" in found.stdout
