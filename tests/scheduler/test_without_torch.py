"""The scheduler and its tests need the standard library and pytest alone."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_schedulers_tests_pass_where_nothing_else_is_installed() -> None:
    """By hand, in an empty environment: pip install hypothesis and pytest with its
    plugins asyncio, timeout and xdist; python -m pytest tests/scheduler."""
    found = run("tests/scheduler", "-m", "not slow", "-x")

    assert found.returncode == 0, found.stdout[-3000:]


def test_they_import_nothing_else() -> None:
    found = run("tests/scheduler", "--collect-only")

    assert found.returncode == 0, found.stdout[-3000:]


def test_what_is_barred_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import torch\n")

    found = run(str(tmp_path), "--rootdir", str(tmp_path), "-c", "/dev/null")

    assert "torch is not there" in found.stdout
