"""The house rules of the design: one test each; a failure lists all that breaks it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.house_rules import FLOORS, ONLY

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("hotswap/**/*.py"), *ROOT.glob("scheduler/**/*.py")])
ALL_FILES = sorted(
    [*FILES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
)
MOST_LINES = 250
MOST_IN_A_FUNCTION = 60
ROOMS = sorted(
    {path.parent for path in FILES if path.stem == "__init__"} - {ROOT / "hotswap"}
)


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


def test_imports_go_down() -> None:
    wrong = []
    for path in FILES:
        mine = floor(name_of(path))
        if mine is None:  # the packages' own __init__
            continue
        for found in imports(path):
            theirs = floor(found)
            if theirs is not None and theirs > mine:
                wrong.append(f"{name_of(path)} imports {found}")

    assert not wrong, "\n".join(wrong)


def test_libraries_are_imported_only_where_they_belong() -> None:
    wrong = [
        f"{name_of(path)} imports {found}"
        for path in FILES
        for found in imports(path)
        for library, places in ONLY.items()
        if is_in(found, {library}) and not is_in(name_of(path), places | {library})
    ]

    assert not wrong, "\n".join(wrong)


def test_no_import_hides_in_a_function_or_under_type_checking() -> None:
    hidden = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        hidden += [
            f"{name_of(path)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in tree.body
        ]

    assert not hidden, "\n".join(hidden)


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


def test_a_file_holds_one_idea() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in ALL_FILES}
    long = [f"{name_of(p)}: {n} lines" for p, n in lengths.items() if n > MOST_LINES]

    assert not long, "\n".join(long)


def test_a_function_fits_on_one_screen() -> None:
    long = [
        f"{name_of(path)}: {node.name}, {lines} lines"
        for path in ALL_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_IN_A_FUNCTION
    ]

    assert not long, "\n".join(long)


def test_every_module_says_what_it_is() -> None:
    texts = {path: path.read_text() for path in ALL_FILES}
    silent = [name_of(p) for p, text in texts.items() if text and text[:3] != '"""']

    assert not silent, "\n".join(silent)


def test_no_two_modules_differ_by_a_letter() -> None:
    """Who looks for one finds the other: `part` beside `parts`."""
    stems = {path.stem.replace("_", "") for path in FILES}
    alike = [
        (one, other)
        for one in stems
        for other in stems
        if one != other and other.startswith(one) and other[len(one) :] in ("s", "es")
    ]

    assert not alike


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
    foreign = [
        f"{name_of(path)} imports {module}"
        for path in ROOT.glob("scheduler/**/*.py")
        for module in imports(path)
        if module.split(".")[0] not in standard
    ]
    assert not foreign, "\n".join(foreign)


def test_the_engine_the_library_and_the_api_load_without_torch() -> None:
    """They compute nothing: what serves without weights starts in a moment."""
    code = (
        "import sys, hotswap.engine.engine, hotswap.library.watch, "
        "hotswap.api.application; print([m for m in sys.modules if m in "
        "('torch', 'transformers', 'peft')])"
    )

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"


def test_every_room_has_a_map_that_names_all_its_files() -> None:
    missing = []
    for folder in ROOMS:
        if folder.name == "demo":  # no room of the server's
            continue
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        words = set(re.findall(r"\w+", said))
        missing += [
            f"{folder.name}: {path.stem}"
            for path in sorted(folder.glob("*.py"))
            if path.stem != "__init__" and path.stem not in words
        ]

    assert not missing, "\n".join(missing)
