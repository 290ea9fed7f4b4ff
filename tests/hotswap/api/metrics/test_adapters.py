"""Histograms by adapter: for the first ones that were asked for, and for the rest."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hotswap.api.metrics.adapter_families import MOST_ADAPTERS, OTHERS, Waits, waits
from hotswap.engine.latencies import Latencies
from hotswap.errors import BadRequest
from hotswap.library.adapter_sources import check_name

SUM = "a*0.5+b"


def counts(found: dict[str, Waits]) -> dict[str, int]:
    return {label: sum(each.first_token.counts) for label, each in found.items()}


def test_the_first_adapters_have_their_own_and_the_others_share_one() -> None:
    latencies = Latencies()
    latencies.first_token(SUM, 0.1)  # there is no end of them: never one of the first
    for number in range(MOST_ADAPTERS + 5):
        latencies.first_token(f"a{number}", 0.1)
    latencies.first_token("a0", 0.1)
    latencies.first_token("", 0.1)

    found = counts(waits(latencies))

    assert len(found) == MOST_ADAPTERS + 2  # with the bare model and the others
    assert (found["a0"], found["base"], found[OTHERS]) == (2, 1, 6)


def test_no_adapter_is_called_as_the_others_are() -> None:
    try:
        check_name(OTHERS)
    except BadRequest:
        return
    raise AssertionError("an adapter may be called so")


names = st.integers(0, 3 * MOST_ADAPTERS).map(lambda n: f"a{n}" if n % 5 else f"{n}*2")


@given(asked=st.lists(st.lists(names, max_size=60), max_size=5))
def test_no_count_ever_goes_down_and_nobody_is_left_out(
    asked: Sequence[Sequence[str]],
) -> None:
    latencies = Latencies()
    before: dict[str, int] = {}
    for some in asked:
        for name in some:
            latencies.first_token(name, 0.1)
        now = counts(waits(latencies))
        assert all(now[label] >= count for label, count in before.items())
        before = now

    assert sum(before.values()) == sum(map(len, asked))
