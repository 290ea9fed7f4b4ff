"""A sum of adapters has one canonical form, however it is written."""

import math
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.adapters.composition import (
    MOST_PARTS,
    Composition,
    is_written_as_sum,
    parse,
    resolved,
)
from hotswap.errors import BadSum, UnknownAdapter

# Whatever may be an adapter's name, but for the two signs
NAMES = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="*+"
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name != "base")
FACTORS = st.decimals("0.001", "100", places=3) | st.decimals(
    "-100", "-0.001", places=3
)
TERMS = st.dictionaries(NAMES, FACTORS, min_size=1, max_size=MOST_PARTS)


def written(terms: list[tuple[str, Decimal]], space: str = "") -> str:
    plus = f"{space}+{space}"
    return plus.join(f"{name}{space}*{space}{factor}" for name, factor in terms)


@given(TERMS, st.randoms(), st.sampled_from(["", " ", "  "]))
def test_order_and_spaces_and_zeros_do_not_count(
    terms: dict[str, Decimal], random: Random, space: str
) -> None:
    shuffled = [(name, factor.normalize()) for name, factor in terms.items()]
    random.shuffle(shuffled)
    shuffled = [(name, Decimal(f"{factor:f}")) for name, factor in shuffled]

    one, other = parse(written(list(terms.items()))), parse(written(shuffled, space))

    assert one == other
    assert dict(one.parts) == {name: float(f) for name, f in terms.items()}


@given(TERMS)
def test_the_canonical_form_says_the_same_sum_and_is_its_own(
    terms: dict[str, Decimal],
) -> None:
    sum_ = parse(written(list(terms.items())))

    assert parse(str(sum_)) == sum_
    assert resolved(str(sum_), {}, {}) == str(sum_)


@given(TERMS, FACTORS, FACTORS)
def test_factors_of_one_name_are_added_up_as_decimals(
    terms: dict[str, Decimal], one: Decimal, other: Decimal
) -> None:
    name = next(iter(terms))
    items = [*list(terms.items())[1:], (name, one), (name, other)]
    if not 0 < abs(one + other) <= 1000:
        return

    assert dict(parse(written(items)).parts)[name] == float(one + other)


@given(st.text(st.sampled_from("ab*+.-0123456789eE \u0660"), max_size=30))
def test_any_text_is_a_sum_or_is_refused_by_name(text: str) -> None:
    try:
        found = parse(text)
    except BadSum:
        return
    assert 1 <= len(found.parts) <= MOST_PARTS
    assert all(math.isfinite(f) and 1e-6 <= abs(f) <= 1000 for _, f in found.parts)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b*0.3+a*.70", "a*0.7+b*0.3"),
        ("sql+pirate", "pirate+sql"),
        ("a*1.0+b*-0.5", "a+b*-0.5"),
        ("a*0.1+a*0.2", "a*0.3"),
        ("my-adapter v2*2", "my-adapter v2*2"),
        ("a*1e-3", "a*0.001"),
        ("a*1", "a"),
        ("a*0.5+a*0.5", "a"),
    ],
)
def test_how_a_sum_is_written(text: str, canonical: str) -> None:
    assert resolved(text, {}, {}) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a*x+b", "the factor of `a`, `x`, is no decimal number"),
        ("0.7*sql", "the factor of `0.7`, `sql`"),
        ("a*", "the factor of `a`, ``"),
        ("a*1*2", "the factor of `a`"),
        ("a*nan", "no decimal"),
        ("a*inf", "no decimal"),
        ("a*0x1", "no decimal"),
        ("a*1_0", "no decimal"),
        ("a*\u0661", "no decimal"),
        ("a*+1", "the factor of `a`, ``"),
        ("a*1e+2", "the factor of `a`, `1e`"),
        ("a*0.7 b*0.3", "write + as %2B"),
        ("a*0", "the factor of `a` is 0"),
        ("a*0.5+b+a*-0.5", "the factor of `a` is 0"),
        ("a*1001", "must be 1e-06 to 1000 in size"),
        ("a*1e99", "must be 1e-06 to 1000 in size"),
        ("a*-1e-7", "must be 1e-06 to 1000 in size"),
        ("a+", "a name is missing"),
        ("+a", "a name is missing"),
        ("*0.5", "a name is missing"),
        ("+".join("abcdefghi"), "9 adapters, more than 8"),
        ("a" * 3000 + "*1", "2048 characters"),
    ],
)
def test_what_is_no_sum_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(BadSum) as told:
        parse(text)

    assert why in str(told.value)


def test_the_bare_model_is_no_part() -> None:
    with pytest.raises(UnknownAdapter, match="`base` is not served: it is the bare"):
        parse("a*0.5+base*0.5")


def test_aliases_and_sums_that_have_a_name_are_made_their_parts() -> None:
    aliases = {"corsair": "pirate", "mix": "blend"}
    sums = {"blend": "a*0.5+pirate*-0.2"}

    assert resolved("corsair+pirate*0.5", aliases, sums) == "pirate*1.5"
    assert resolved("blend*0.5+corsair", aliases, sums) == "a*0.25+pirate*0.9"
    assert resolved("mix*2", aliases, sums) == "a+pirate*-0.4"
    with pytest.raises(BadSum, match="is 0"):
        resolved("blend*5+corsair", aliases, sums)


def test_the_key_is_the_digest_of_the_parts_contents_and_factors() -> None:
    sum_ = parse("a*0.7+b*0.3")
    keys = {"a": "1", "b": "2"}

    assert sum_.key(keys) == parse("b*0.7+a*0.3").key({"a": "2", "b": "1"})
    others = [
        sum_.key({"a": "2", "b": "1"}),
        sum_.key({"a": "1", "b": "3"}),
        parse("a*0.7+b*0.4").key(keys),
        parse("a*0.7").key(keys),
    ]
    assert sum_.key(keys) not in others
    assert len(set(others)) == len(others)


def test_a_name_without_the_two_signs_is_no_sum() -> None:
    assert [
        name for name in ("a", "a*2", "a+b", "a-b", "") if is_written_as_sum(name)
    ] == [
        "a*2",
        "a+b",
    ]
    assert str(Composition((("a", 0.5),))) == "a*0.5"
