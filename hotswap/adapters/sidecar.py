"""Sidecar: hotswap.toml in an adapter folder -> what its requests get by default.

Data, never code: a chat template is rendered in a sandbox, and only when a request
comes. A request's own value always wins. Knows no requests and no HTTP.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from hotswap.adapters.files import read_file
from hotswap.errors import AdapterRefused
from hotswap.parser_names import ReasoningParserName, ToolParserName
from hotswap.sampling_ranges import (
    MaxTokens,
    MinP,
    Penalty,
    Priority,
    RepetitionPenalty,
    StopString,
    Temperature,
    TopK,
    TopP,
)

SIDECAR_FILE = "hotswap.toml"
_MOST_BYTES = 1 << 20
_CODE = "bad_sidecar"

_Alias = Annotated[str, Meta(min_length=1, max_length=128)]


class Sidecar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None is: nothing said."""

    # Other names that requests may use; a real adapter's name goes before.
    aliases: Annotated[tuple[_Alias, ...], Meta(max_length=16)] = ()
    # Multiplies the update, on top of alpha / rank. Part of the generation.
    scale: Annotated[float, Meta(ge=-1e3, le=1e3)] = 1.0
    # Jinja, as in tokenizer_config.json
    chat_template: Annotated[str, Meta(min_length=1, max_length=1 << 18)] | None = None
    # In what form the adapter writes calls of tools, and its reasoning.
    tool_parser: ToolParserName | None = None
    reasoning_parser: ReasoningParserName | None = None
    stop: Annotated[tuple[StopString, ...], Meta(max_length=16)] = ()
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    max_tokens: MaxTokens | None = None
    # The adapter's share beside others, and who goes first (lower is sooner).
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    priority: Priority = 0


NOTHING = Sidecar()


def read_sidecar(folder: Path) -> Sidecar:
    """The folder's sidecar, or one that says nothing. Raises AdapterRefused."""
    raw = read_file(folder, SIDECAR_FILE, _MOST_BYTES, code=_CODE)
    if raw is None:
        return NOTHING
    try:
        sidecar = msgspec.toml.decode(raw, type=Sidecar)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(str(error)) from None
    for alias in sidecar.aliases:
        if not alias.isprintable() or "/" in alias or alias.startswith("."):
            raise _refused(f"{alias!r} is no name for an adapter - at `$.aliases`")
    return sidecar


def _refused(reason: str) -> AdapterRefused:
    return AdapterRefused(_CODE, f"{SIDECAR_FILE}: {reason}")
