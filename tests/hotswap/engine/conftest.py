"""Fixture: engines that are stopped, and whose books are checked, with the test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hotswap.engine.engine import Engine
from tests.engines import Start, running


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as engines:

        async def started(*arguments: Any, **more: Any) -> Engine:
            return await engines.enter_async_context(running(*arguments, **more))

        yield started
