"""Deltas: what a piece of a model's text adds to a chat's answer."""

from dataclasses import dataclass


@dataclass(slots=True)
class CallDelta:
    """Of the call `index`: `id` and `name` when it begins, `arguments` as they come."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Delta:
    content: str = ""
    reasoning: str = ""
    call: CallDelta | None = None
