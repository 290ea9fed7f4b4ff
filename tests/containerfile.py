"""A container file, read as its builders do, as far as ours uses it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "configs" / "container" / "Containerfile"


@dataclass(frozen=True, slots=True)
class Step:
    """`flags`: those that stand before the rest, with their values."""

    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """In exec form, a JSON list, or as plain words."""
        if self.text.startswith("["):
            return list(json.loads(self.text))
        return shlex.split(self.text)


def stages() -> list[list[Step]]:
    """The steps of each stage; the first is what stands before any."""
    found: list[list[Step]] = [[]]
    for step in _steps(FILE.read_text()):
        if step.name == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def steps(stage: list[Step], name: str) -> list[Step]:
    return [step for step in stage if step.name == name]


def environment(stage: list[Step]) -> dict[str, str]:
    said = [word for step in steps(stage, "ENV") for word in step.words]
    return dict(word.split("=", 1) for word in said)


def _steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.partition(" ")
        flags = {}
        while said := re.match(r"\s*--([\w-]+)=(\S+)", rest):
            flags[said[1]] = said[2]
            rest = rest[said.end() :]
        yield Step(name, flags, rest.strip())
