"""Config docs: docs/configuration.md and configs/default.toml, made from the structs.

Run `python -m hotswap.config_docs` at the root of the repository after a change of a
section's struct. A test holds files and structs equal. The meaning of a key is the
comment above it; types, ranges and defaults are msgspec's JSON schema.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hotswap import options
from hotswap.commands.serve_flags import FLAGS
from hotswap.config import RENAMED, Config
from hotswap.djl_config import key_table

PAGE = Path("docs/configuration.md")
DEFAULTS = Path("configs/default.toml")

# Comment lines and the key they stand above, in a struct's source
_COMMENTED = re.compile(r"((?:^    # .*\n)+)    (\w+):", re.M)
_RULES = (
    "A flag of the command line wins over the file, the file over a "
    "serving.properties, and that over OPTION_... and "
    "SERVING_... variables of the environment.",
    "An unknown key and a value out of range end the start with one line that names "
    "them.",
)
_IN_VAIN = (
    "DJL Serving and vLLM know these keys of [lora]; here they have no meaning.",
    "A value that could not be honoured ends the start; one without which nothing is "
    "lost is warned about.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A row of the page, in words; `default` as TOML."""

    name: str
    type: str
    default: str
    meaning: str
    flag: str
    variable: str


def page() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "<!-- Made by `python -m hotswap.config_docs`: do not edit. -->",
        "",
        "`hotswap serve MODEL --config FILE` reads one TOML file. "
        "`configs/default.toml` has every key with its default.",
        *_RULES,
    ]
    for section in Config.__struct_fields__:
        lines += ["", f"## [{section}]", ""]
        lines += table("key", "type", "default", "meaning", "flag", "environment")
        lines += [
            row(
                f"`{key.name}`",
                key.type,
                f"`{key.default}`",
                key.meaning,
                key.flag and f"`{key.flag}`",
                key.variable and f"`{key.variable}`",
            )
            for key in keys(section)
        ]
    lines += ["", "## Without effect", "", *_IN_VAIN, ""]
    lines += [*table("key", "a value", "because")]
    for name, why in options.NEVER_ACT.items():
        effect = "ends the start" if why.ends_start else "is warned about"
        lines.append(row(f"`{name}`", effect, why.reason))
    lines += ["", "## Renamed", "", *table("key", "is now")]
    for old, (new, how) in RENAMED.items():
        lines.append(row(f"`{old}`", f"`{new}`, {how}"))
    return "\n".join(lines) + "\n"


def defaults() -> str:
    """configs/default.toml."""
    use = "Every key with its default. Use it as: hotswap serve --config FILE."
    lines = [_comment(" ".join([use, *_RULES]))]
    for section in Config.__struct_fields__:
        lines += ["", f"[{section}]"]
        for key in keys(section):
            lines += [_comment(key.meaning), f"{key.name} = {key.default}"]
    return "\n".join(lines) + "\n"


def keys(section: str) -> Iterator[Key]:
    """Those that act, in the order of the struct."""
    struct = type(getattr(Config(), section))
    meanings = {
        name: " ".join(re.findall(r"# (.*)", comment))
        for comment, name in _COMMENTED.findall(inspect.getsource(struct))
    }
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    flags = {key: flag.usage for key, flag in FLAGS.items()}
    variables = key_table.variables()
    for name, told in schema.items():
        if name in options.NEVER_ACT:
            continue
        yield Key(
            name=name,
            type=_type(told),
            default=msgspec.json.encode(told["default"]).decode(),
            meaning=meanings[name],
            flag=flags.get(f"{section}.{name}", ""),
            variable=variables.get((section, name), ""),
        )


def _type(told: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in told:
        return " or ".join(_type(each) for each in told["anyOf"])
    if "enum" in told:
        return ", ".join(f"`{value}`" for value in told["enum"])
    if told["type"] == "array":
        return f"list of {_type(told['items'])}s"
    if "examples" in told:
        return "such as " + ", ".join(f"`{value}`" for value in told["examples"])
    signs = {
        "minimum": ">=",
        "exclusiveMinimum": ">",
        "maximum": "<=",
        "exclusiveMaximum": "<",
    }
    range_ = [f" {sign} {told[key]:g}" for key, sign in signs.items() if key in told]
    return str(told["type"]) + ",".join(range_)


def table(*titles: str) -> list[str]:
    return [row(*titles), "|" + "---|" * len(titles)]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _comment(text: str) -> str:
    return textwrap.fill(text, width=88, initial_indent="# ", subsequent_indent="# ")


if __name__ == "__main__":
    PAGE.write_text(page())
    DEFAULTS.write_text(defaults())
