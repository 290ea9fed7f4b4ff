"""What a fresh clone installs: constraints that the project's own ranges admit."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def project() -> dict[str, list[str]]:
    """The project's requirements, by extra; "" is what everybody needs."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": said["dependencies"], **said["optional-dependencies"]}


def constraints() -> dict[str, str]:
    """The version of each package that a fresh clone gets."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): found for name, found in pinned}


def test_every_requirement_is_constrained_to_a_version_it_admits() -> None:
    pinned = constraints()
    wrong = []
    for text in project()[""] + project()["test"]:
        requirement = Requirement(text)
        found = pinned.get(canonicalize_name(requirement.name), "none")
        if not requirement.specifier.contains(found):
            wrong.append(f"{text}: constrained to {found}")

    assert not wrong, "\n".join(wrong)


def test_every_requirement_has_an_upper_bound() -> None:
    """The release after it was tested by nobody."""
    texts = [text for several in project().values() for text in several]
    open_ended = [text for text in texts if "<" not in text]

    assert not open_ended, "\n".join(open_ended)
