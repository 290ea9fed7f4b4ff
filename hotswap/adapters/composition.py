"""Composition: a sum of adapters, `sql*0.7+pirate*0.3`; how it is written and named.

    sum     part, "+" part ...            at most `MOST_PARTS` different adapters
    part    NAME, or NAME "*" FACTOR      without a factor it is 1
    factor  a decimal number, 1e-6 to 1000 in size; below 0 it is taken away

Spaces around names and factors do not count. An adapter whose own name has a `*` or `+`
is asked for by it, and is part of a sum by an alias only. Each sum has one canonical
form, in which names are sorted and factors of the same name are added up: that is its
name. Knows no tensors.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from hotswap.adapters.reserved_names import is_base
from hotswap.errors import BadSum, UnknownAdapter

MOST_PARTS = 8
_MOST_TEXT = 2048  # characters
_LEAST, _MOST = Decimal("1e-6"), Decimal(1000)  # sizes of a factor
# No "+" in an exponent: it begins the next part.
_FACTOR = re.compile(r"-?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})([eE]-?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Composition:
    """`parts`: names and factors, sorted by name."""

    parts: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        """The canonical form."""
        return "+".join(
            name if factor == 1 else f"{name}*{_written(factor)}"
            for name, factor in self.parts
        )

    def key(self, keys: Mapping[str, str]) -> str:
        """Of the generation that it makes of its parts' generations, by name."""
        each = sorted(f"{keys[name]}*{factor!r}" for name, factor in self.parts)
        return hashlib.sha256(f"sum {'+'.join(each)}".encode()).hexdigest()[:16]


def is_written_as_sum(name: str) -> bool:
    """Whether `name` reads as a sum, if it is nobody's own name."""
    return "*" in name or "+" in name


def parse(text: str) -> Composition:
    """Raises BadSum, and UnknownAdapter for the bare model."""
    return _composition(text, _terms(text))


def resolved(text: str, aliases: Mapping[str, str], sums: Mapping[str, str]) -> str:
    """The canonical form of a sum as a client writes it: each alias of a part is made
    the name it stands for, each sum that has a name (`sums`) its own parts.

    One part with the factor 1 is that adapter itself. Raises as `parse`.
    """
    found: list[tuple[str, Decimal]] = []
    for part, factor in _terms(text):
        name = aliases.get(part, part)
        if name in sums:
            found += [(inner, factor * times) for inner, times in _terms(sums[name])]
        else:
            found.append((name, factor))
    return str(_composition(text, found))


def _terms(text: str) -> list[tuple[str, Decimal]]:
    """Names and factors as they stand there."""
    if len(text) > _MOST_TEXT:
        raise BadSum(f"a sum of adapters has at most {_MOST_TEXT} characters")
    found = []
    for term in text.split("+"):
        name, star, factor = (word.strip() for word in term.partition("*"))
        if not name:
            raise BadSum(
                f"`{text}` is no adapter's name, and a sum of adapters is written "
                "NAME*FACTOR+NAME*FACTOR: a name is missing"
            )
        found.append((name, _factor(factor, name) if star else Decimal(1)))
    return found


def _factor(text: str, name: str) -> Decimal:
    if not _FACTOR.fullmatch(text):
        # In a URL's query a plus sign is read as a space.
        hint = ": in a URL write + as %2B" if " " in text else ""
        raise BadSum(f"the factor of `{name}`, `{text}`, is no decimal number{hint}")
    return Decimal(text)


def _composition(text: str, terms: list[tuple[str, Decimal]]) -> Composition:
    factors: dict[str, Decimal] = {}
    for name, factor in terms:
        if is_base(name):
            raise UnknownAdapter(name, "it is the bare model, and no part of a sum")
        factors[name] = factors.get(name, Decimal(0)) + factor
    if len(factors) > MOST_PARTS:
        raise BadSum(
            f"`{text}` is a sum of {len(factors)} adapters, more than {MOST_PARTS}"
        )
    for name, factor in factors.items():
        if factor == 0:
            raise BadSum(f"the factor of `{name}` is 0: leave it out")
        if not _LEAST <= abs(factor) <= _MOST:
            raise BadSum(
                f"the factor of `{name}` must be {float(_LEAST):g} to {_MOST} in size"
            )
    return Composition(tuple((name, float(factors[name])) for name in sorted(factors)))


def _written(factor: float) -> str:
    return repr(factor).removesuffix(".0")
