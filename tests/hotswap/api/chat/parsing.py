"""A tool parser's deltas, joined."""

from collections.abc import Sequence

from hotswap.api.openai.tool_parsers.tool_parser import ToolParser

NAMES = frozenset({"f", "g"})
Said = tuple[str, list[tuple[str, str]]]


def read(kind: type[ToolParser], pieces: Sequence[str]) -> Said:
    """Content and calls of a text that comes in pieces, its deltas joined."""
    parser, content = kind(NAMES), ""
    calls: list[tuple[str, str]] = []
    for number, piece in enumerate(pieces, 1):
        for delta in parser.push(piece, is_last=number == len(pieces)):
            content += delta.content
            if delta.call is None:
                continue
            if delta.call.name:
                assert delta.call.id
                assert delta.call.index == len(calls)
                calls.append((delta.call.name, ""))
            name, told = calls[delta.call.index]
            calls[delta.call.index] = name, told + delta.call.arguments
    assert parser.calls == len(calls)
    return content, calls
