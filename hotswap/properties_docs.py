"""Properties docs: the tables of docs/serving-properties.md, made from the key table.

Run `python -m hotswap.properties_docs` at the root of the repository after a change of
a key's rule. A test holds page and table equal.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hotswap.config_docs import row, table
from hotswap.djl_config.key_table import KEYS, SERVER_KEYS, variable_of
from hotswap.djl_config.rules import Inert, Locates, Refused, Rule, Sets
from hotswap.djl_config.variables import OTHERS
from hotswap.options import NEVER_ACT

PAGE = Path("docs/serving-properties.md")
BEGIN = "<!-- Made by `python -m hotswap.properties_docs`: do not edit below. -->"

_WITHOUT = (
    "Each is named in one warning, with its reason; answers are the same without."
)
_ENDS = "Each ends the start with one line that names it: answers would be others."


def page(written: str) -> str:
    """The page with its tables made anew. `written`: the page as it is."""
    return written.partition(BEGIN)[0] + BEGIN + "\n" + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    everything = {**KEYS, **SERVER_KEYS}
    yield from ("", "## Keys that act", "")
    yield from table("key", "variable", "sets", "")
    for key, rule in everything.items():
        if isinstance(rule, Locates):
            yield row(_written(key), f"`{variable_of(key)}`", "", rule.about)
        elif isinstance(rule, Sets) and not _never_acts(rule):
            settings = ", ".join(f"`{each}`" for each in rule.keys)
            yield row(_written(key), f"`{variable_of(key)}`", settings, rule.about)
    yield from ("", "## Keys without effect", "", _WITHOUT, "")
    yield from table("keys", "because", "no warning for")
    yield from _by_reason(everything, Inert)
    yield from ("", "## Keys that end the start", "", _ENDS, "")
    yield from table("keys", "because", "but not")
    yield from _by_reason(everything, Refused)
    yield from ("", "## Variables by other names", "", "Only for a model of DJL's.", "")
    yield from table("variable", "is")
    for variable, key in OTHERS.items():
        yield row(f"`{variable}`", f"`{key}`")


def _written(key: str) -> str:
    """A key of a model's; those of the server are variables alone."""
    return f"`{key}`" if key in KEYS else ""


def _never_acts(rule: Sets) -> bool:
    return rule.keys[0].removeprefix("lora.") in NEVER_ACT


def _by_reason(rules: Mapping[str, Rule], kind: type[Inert | Refused]) -> Iterator[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for key, told in rules.items():
        rule = _as_without_effect(told)
        if isinstance(rule, kind):
            met = ", ".join(f"`{value}`" for value in sorted(rule.met))
            name = key if key in KEYS else variable_of(key)
            found.setdefault((rule.reason, met), []).append(f"`{name}`")
    for (reason, met), keys in found.items():
        yield row(", ".join(keys), reason, met)


def _as_without_effect(rule: Rule) -> Rule:
    """A key of [lora] that never acts, as what becomes of it there."""
    if not (isinstance(rule, Sets) and _never_acts(rule)):
        return rule
    why = NEVER_ACT[rule.keys[0].removeprefix("lora.")]
    harmless = [] if why.harmless is None else [str(why.harmless).lower()]
    return (Refused if why.ends_start else Inert)(why.reason, frozenset(harmless))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
