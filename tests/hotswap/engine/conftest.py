"""Fixtures: engines that are stopped, and whose books are checked, with the test; and
a model of each kind, so that every test runs with both.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hotswap.engine.engine import Engine
from tests.engines import Start, running
from tests.fakes import AheadExecutor, FakeExecutor


@pytest.fixture(params=[FakeExecutor, AheadExecutor])
def model(request: pytest.FixtureRequest) -> FakeExecutor:
    """One that computes at the launch, and one that launches ahead."""
    made: FakeExecutor = request.param()
    return made


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as engines:

        async def started(*arguments: Any, **more: Any) -> Engine:
            return await engines.enter_async_context(running(*arguments, **more))

        yield started
