"""Pages: the project's Markdown, and what of it can be checked.

Code blocks with their language and mark (```` ```sh not-run ````), relative links, the
files and functions that are named in backticks, and modules that are to be run.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.S | re.M)
_LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_MODULE = re.compile(r"python -m ((?:benchmarks|hotswap)[\w.]*\w)")
_NAMED = re.compile(
    r"`((?:hotswap|scheduler|benchmarks|tests|configs|examples|docs)/[\w./-]*)"
    r"(?:: ?([A-Za-z_][\w.]*))?`"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `answer`: the ```json block that follows it with nothing but
    empty lines between, as what a command prints."""

    language: str
    mark: str
    text: str
    answer: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = list(_FENCE.finditer(text))
    return [
        Block(one[1], one[2].strip(), one[3], _answer(text, one, after))
        for one, after in zip_longest(found, found[1:])
    ]


def _answer(text: str, one: re.Match[str], after: re.Match[str] | None) -> str | None:
    if after is None or after[1] != "json":
        return None
    return after[3] if not text[one.end() : after.start()].strip() else None


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def broken_links(page: Path) -> list[str]:
    """Relative links that lead to no file, or to no heading of a page."""
    wrong = []
    for target in _LINK.findall(prose(page)):
        name, _, anchor = target.partition("#")
        place = (page.parent / name) if name else page
        if not place.exists() or (anchor and anchor not in _anchors(place)):
            wrong.append(target)
    return wrong


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(prose(page))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def missing_names(pages: Iterable[Path]) -> list[str]:
    """What the pages name in backticks and is not there, as PAGE: NAME.

    `hotswap/cli.py` is a file, `hotswap/api/` a folder, `hotswap/cli.py: main` and
    `scheduler/job.py:Job.order` a function, class or constant at a file's top level or
    in a class of it.
    """
    wrong = []
    for page in pages:
        for path, symbol in _NAMED.findall(prose(page)):
            place = ROOT / path
            if not place.exists() or (symbol and symbol not in set(symbols(place))):
                said = f"{path}: {symbol}" if symbol else path
                wrong.append(f"{page.name}: {said}")
    return wrong


def missing_modules(pages: Iterable[Path]) -> list[str]:
    """What the pages run with `python -m` and is not there."""
    named = {name for page in pages for name in _MODULE.findall(page.read_text())}
    places = {name: ROOT / name.replace(".", "/") for name in named}
    return sorted(
        name
        for name, place in places.items()
        if not place.with_suffix(".py").exists()
        and not (place / "__main__.py").exists()
    )


def symbols(file: Path) -> Iterator[str]:
    """What a Python file has at its top level, and in its classes as Class.name."""
    for name, node in _named(ast.parse(file.read_text()).body):
        yield name
        if isinstance(node, ast.ClassDef):
            yield from (f"{name}.{inner}" for inner, _ in _named(node.body))


def _named(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name, node
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
