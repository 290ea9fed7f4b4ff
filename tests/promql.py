"""PromQL: what a query reads, and with which functions. Enough of it for dashboards.

The grammar is prometheus.io/docs/prometheus/latest/querying/basics: a selector is a
name, perhaps matchers in braces and a range in brackets; `by` and its like are followed
by labels.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s+
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<range>\[[^\]]*\])
    |(?P<name>[a-zA-Z_:][\w:]*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>[(){},]|=~|!~|!=|==|<=|>=|[=<>+\-*/^%])""",
    re.X,
)
_LABELS_FOLLOW = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset"}


@dataclass
class Selector:
    """`within`: the functions around it, the outermost first. `labels`: those that it
    is matched by."""

    name: str
    within: tuple[str, ...]
    labels: set[str] = field(default_factory=set)
    range: str | None = None


@dataclass
class Query:
    selectors: list[Selector]
    grouped: set[str]  # labels that something is grouped by
    functions: set[str]


def parse(text: str) -> Query:
    """Raises ValueError for what is not PromQL as far as it is known here."""
    tokens = list(_tokens(text))
    query, calls, place = Query([], set(), set()), [], 0
    while place < len(tokens):
        kind, word = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if word in _LABELS_FOLLOW:
            end = tokens.index(("sign", ")"), place)
            query.grouped |= {w for k, w in tokens[place:end] if k == "name"}
            place = end + 1
        elif kind == "name" and (following == "(" or _follows(tokens, place)):
            query.functions.add(word)
            if following == "(":
                calls.append(word)
                place += 1
            else:  # sum by (...) (
                end = tokens.index(("sign", ")"), place)
                names = tokens[place + 2 : end]
                query.grouped |= {w for k, w in names if k == "name"}
                calls.append(word)
                place = end + 2
        elif kind == "name" and word not in _WORDS:
            place = _selector(Selector(word, tuple(calls)), tokens, place, query)
        elif word == "(":
            calls.append("")
        elif word == ")":
            if not calls:
                raise ValueError(f"a bracket too many: {text}")
            calls.pop()
    if calls:
        raise ValueError(f"a bracket is not closed: {text}")
    return query


def _follows(tokens: list[tuple[str, str]], place: int) -> bool:
    """Whether an aggregation's labels stand before its brackets."""
    words = [word for _, word in tokens[place : place + 2]]
    return len(words) == 2 and words[0] in ("by", "without") and words[1] == "("


def _selector(
    found: Selector, tokens: list[tuple[str, str]], place: int, query: Query
) -> int:
    """Read the rest of it; the place after it."""
    if place < len(tokens) and tokens[place][1] == "{":
        end = tokens.index(("sign", "}"), place)
        found.labels = {word for kind, word in tokens[place:end] if kind == "name"}
        place = end + 1
    if place < len(tokens) and tokens[place][0] == "range":
        found.range = tokens[place][1][1:-1]
        place += 1
    query.selectors.append(found)
    return place


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"what is `{text[place:]}`?")
        place = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found[found.lastgroup]
