"""In whatever order adapters are used, are forgotten and fail: the rows are right, and
what is uploaded is uploaded on the side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotswap.adapters.generation import Delta
from hotswap.errors import MixFailed
from hotswap.model.machine.device import Host, HostEvent
from tests.hotswap.gpu.lora_cast import IN, WIDTHS, check, generation, made

EVERY = tuple(WIDTHS)
Q, K, HEAD = "0.q", "0.k", "head"


class Side(Host):
    """Notes in which order its side is used."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @contextmanager
    def side(self) -> Iterator[None]:
        self.log.append("begin")
        yield
        self.log.append("end")

    def sent(self, tensor: torch.Tensor) -> torch.Tensor:
        self.log.append("sent")
        return tensor

    def record(self) -> HostEvent:
        self.log.append("record")
        return Waited(self.log)


class Waited(HostEvent):
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def wait(self) -> None:
        self._log.append("wait")


def test_an_upload_is_queued_on_the_side_and_is_over_when_load_returns() -> None:
    side = Side()

    made(device=side).load([generation("a", 2, Q), generation("b", 20, HEAD)])

    assert side.log == 2 * ["begin", "sent", "sent", "sent", "record", "end", "wait"]


CAST = {
    name: generation(name, rank, *paths)
    for name, rank, paths in [
        ("a", 1, (Q,)),
        ("b", 16, EVERY),
        ("c", 17, (K, "1.v", HEAD)),
        ("d", 33, ("1.q", "0.v")),
        ("e", 5, (HEAD,)),
        ("f", 64, (Q,)),
    ]
}
BROKEN = {
    name: replace(
        CAST[name],
        deltas={
            **CAST[name].deltas,
            HEAD: Delta(
                a=torch.ones(2, IN),
                b=torch.full((WIDTHS[HEAD], 2), torch.inf),
                scale=1.0,
            ),
        },
    )
    for name in CAST
}


class Books(RuleBasedStateMachine):
    """In whatever order adapters are used, are forgotten and fail: each row of each
    layer gets its own adapter's update, and no page has two owners."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = made(pages=5)

    @rule(names=st.lists(st.sampled_from(" abcdef"), min_size=1, max_size=5))
    def use(self, names: list[str]) -> None:
        owners = [CAST.get(name) for name in names]
        if self.pool.fits(owner for owner in owners if owner):
            check(self.pool, owners)

    @rule(name=st.sampled_from("abcdef"))
    def forget(self, name: str) -> None:
        self.pool.forget(name)
        assert name not in self.pool.loaded

    @rule(name=st.sampled_from("abcdef"), also=st.sampled_from("abe"))
    def fail(self, name: str, also: str) -> None:
        self.pool.forget(name)
        wanted = [CAST[also], BROKEN[name]] if also != name else [BROKEN[name]]
        with pytest.raises((MixFailed, AssertionError)):
            self.pool.load(wanted)
        assert name not in self.pool.loaded

    @invariant()
    def every_page_is_free_or_has_one_owner(self) -> None:
        held = [page for held in self.pool._held.values() for page in held.pages]
        assert sorted([*held, *self.pool._free]) == list(range(5))


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
