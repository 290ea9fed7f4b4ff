"""The house rules of the design, as a test: floors, who may import what, file sizes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("hotswap/**/*.py"), *ROOT.glob("scheduler/**/*.py")])

# Floors from the ground up: a module imports its own floor's package or lower ones.
FLOORS = [
    {
        "scheduler",
        "hotswap.errors",
        "hotswap.errand",
        "hotswap.outside",
        "hotswap.cache",
        "hotswap.port",
        "hotswap.templates",
        "hotswap.template_child",  # a script of its own: imports nothing of ours
        "hotswap.tokenizer",
    },
    {"hotswap.adapters"},
    {"hotswap.model"},
    {"hotswap.engine"},
    {"hotswap.library"},
    {"hotswap.api"},
    {"hotswap.options"},
    {"hotswap.config"},
    {"hotswap.start"},
    {"hotswap.app"},
    {"hotswap.connections"},
    {"hotswap.serve", "hotswap.check"},
    # Imports no floor with torch in it: it loads the two by name, when all that can be
    # checked without them is checked.
    {"hotswap.cli"},
    {"hotswap.config_docs"},
    {"hotswap.demo"},
]
ONLY = {
    "litestar": {
        "hotswap.app",
        "hotswap.api",
        "hotswap.connections",  # the type of what it serves
    },
    "uvicorn": {"hotswap.serve", "hotswap.connections"},
    "watchdog": {"hotswap.library.folder_events"},
    "peft": {
        "hotswap.adapters.checkpoint",
        "hotswap.adapters.bounds",  # the type of a configuration
        "hotswap.adapters.limits",  # the same
        "hotswap.adapters.settings",
        "hotswap.adapters.peft_config",
        "hotswap.adapters.low_rank",
        "hotswap.adapters.rewrites",
        "hotswap.adapters.vocabulary",
        "hotswap.adapters.tuners",
        "hotswap.adapters.updates",
        "hotswap.demo",
    },
    "torch": {
        "hotswap.model",
        "hotswap.adapters.bounds",  # to see what PEFT makes
        "hotswap.adapters.checkpoint",
        "hotswap.adapters.keys",  # the type of a tensor
        "hotswap.adapters.tensors",
        "hotswap.adapters.deltas",
        "hotswap.adapters.layout",
        "hotswap.adapters.low_rank",
        "hotswap.adapters.rewrites",
        "hotswap.adapters.vocabulary",
        "hotswap.adapters.tuners",
        "hotswap.adapters.updates",
        "hotswap.adapters.fidelity",
        "hotswap.engine.sampling",
        "hotswap.engine.executor",  # the type of the logits
        "hotswap.demo",
    },
    "transformers": {
        "hotswap.model",
        "hotswap.adapters.layout",  # the types of a model and of Conv1D
        "hotswap.adapters.low_rank",  # the same
        "hotswap.adapters.rewrites",  # the same
        "hotswap.adapters.tuners",  # the type of a model
        "hotswap.adapters.vocabulary",  # the same
        "hotswap.tokenizer",
        "hotswap.adapters.adapter_tokenizer",
        "hotswap.demo",
    },
    "prometheus_client": {"hotswap.api.operations"},
    "hotswap.config": {
        "hotswap.start",
        "hotswap.app",
        "hotswap.serve",
        "hotswap.check",
        "hotswap.cli",
        "hotswap.config_docs",
    },
    "hotswap.options": {
        "hotswap.config",
        "hotswap.config_docs",
        "hotswap.app",
        "hotswap.check",
        "hotswap.cli",
    },
    "hotswap.api.wire": {"hotswap.api"},
    "time": {
        "hotswap.engine.engine",  # the clock
        "hotswap.engine.step_runner",  # how long a step took
        "hotswap.errand",  # how long the disk has not answered
        "hotswap.library.watch",
        "hotswap.model",
        "hotswap.api.openai_shape",  # `created`, a date
        "hotswap.app",  # the same
        "hotswap.cli",  # how long the start took
        "hotswap.serve",  # the same
        "hotswap.templates",  # deadlines
        "hotswap.template_child",  # the CPU time that is left
    },
    "random": {"hotswap.engine.sampling", "hotswap.demo"},
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def imports(path: Path) -> list[str]:
    """Every module imported anywhere in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found.append(module)
            # `from hotswap.api import djl` imports a module, too
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


def is_in(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def floor(module: str) -> int | None:
    for height, places in enumerate(FLOORS):
        if is_in(module, places):
            return height
    return None


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    mine = floor(name_of(path))
    if mine is None:  # the packages' own __init__
        return

    higher = [m for m in imports(path) if (f := floor(m)) is not None and f > mine]

    assert not higher


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_libraries_are_imported_only_where_they_belong(path: Path) -> None:
    module = name_of(path)
    wrong = [
        found
        for found in imports(path)
        for library, places in ONLY.items()
        if is_in(found, {library})
        and not is_in(module, places)
        and not is_in(module, {library})
    ]

    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_import_hides_in_a_function_or_under_type_checking(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    everywhere = [
        n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)
    ]

    assert len(top) == len(everywhere)


def test_no_module_imports_itself_through_others() -> None:
    names = {name_of(path): path for path in FILES}
    graph = {n: {m for m in imports(p) if m in names} for n, p in names.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " > ".join((*above, module))
        if module not in done:
            for lower in sorted(graph[module]):
                visit(lower, (*above, module))
            done.add(module)

    for module in names:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_holds_one_idea(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 280
    assert not text or text.startswith('"""'), "a module says what it is"


def test_the_scheduler_needs_the_standard_library_alone() -> None:
    code = (
        "import sys, scheduler, scheduler.simulate; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'msgspec', 'hotswap', 'numpy', 'litestar', 'transformers')])"
    )

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
    standard = set(sys.stdlib_module_names) | {"scheduler"}
    for path in ROOT.glob("scheduler/**/*.py"):
        outside = {m.split(".")[0] for m in imports(path)} - standard
        assert not outside, f"{path.name} imports {outside}"
