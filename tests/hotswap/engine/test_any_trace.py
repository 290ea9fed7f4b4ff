"""Over random traces: the same texts whether a step is launched ahead or not."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import HotswapError, StepFailed
from hotswap.model.network.rows import Row, Sample
from scheduler import POLICIES
from tests.engines import NAMES, running, submit, text_of
from tests.fake_blocks import FakeFlight
from tests.fakes import AheadExecutor, FakeExecutor, expected

asks = st.lists(
    st.tuples(
        st.sampled_from(["base", *NAMES]), st.integers(1, 20), st.integers(1, 12)
    ),
    min_size=1,
    max_size=12,
)


class Faulty(AheadExecutor):
    """Fails at the landings, and at the launches, of these numbers."""

    def __init__(
        self, landings: set[int], launches: set[int], block_tokens: int | None = None
    ) -> None:
        super().__init__(block_tokens=block_tokens)
        self._landings, self._launches, self._count = landings, launches, [0, 0]

    def land(self, flight: FakeFlight) -> list[Sample | None]:
        self._count[0] += 1
        if self._count[0] in self._landings:
            self.fail_next = RuntimeError("injected")
        return super().land(flight)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
        self._count[1] += 1
        if self._count[1] in self._launches:
            self.fail_launch = RuntimeError("injected")
        return super().launch(rows, mixed=mixed)


async def answers(
    model: FakeExecutor, policy: str, asks: list[tuple[str, int, int]]
) -> list[str | HotswapError]:
    async def one(ask: tuple[str, int, int]) -> str | HotswapError:
        try:
            return await text_of(submit(engine, *ask))
        except HotswapError as error:
            return error

    # Little KV: jobs wait for that of others.
    async with running(model, policy, kv_tokens=40) as engine:
        async with asyncio.timeout(20):
            return await asyncio.gather(*map(one, asks))


@settings(max_examples=30, deadline=None)
@given(asks, st.sampled_from(sorted(POLICIES)), st.sampled_from([6, 15, 1000]))
def test_a_text_does_not_tell_whether_steps_were_launched_ahead(
    asks: list[tuple[str, int, int]], policy: str, finish_after: int
) -> None:
    found = [
        asyncio.run(answers(kind(finish_after), policy, asks))
        for kind in (FakeExecutor, AheadExecutor)
    ]

    assert found[0] == found[1]
    for (name, prompt, tokens), text in zip(asks, found[0], strict=True):
        until_end = max(0, min(tokens, finish_after - prompt))
        assert text == expected(name, prompt, until_end)


@settings(max_examples=30, deadline=None)
@given(
    asks,
    st.sampled_from(sorted(POLICIES)),
    st.sets(st.integers(1, 30), max_size=4),
    st.sets(st.integers(1, 30), max_size=4),
)
def test_whatever_fails_everybody_is_answered_and_the_others_rightly(
    asks: list[tuple[str, int, int]],
    policy: str,
    landings: set[int],
    launches: set[int],
) -> None:
    found = asyncio.run(answers(Faulty(landings, launches), policy, asks))

    for ask, answer in zip(asks, found, strict=True):
        assert isinstance(answer, StepFailed) or answer == expected(*ask)
