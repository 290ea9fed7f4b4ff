"""Every run of tests: names, which files begin, and where coverage is not counted.

No torch here: the scheduler's tests run without it.
"""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

_SHORT = 16  # bytes that may be a name


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A file that a test makes may hold the time, and all processes that run tests have
    to know them by the same names."""
    return argname if isinstance(val, bytes) and len(val) > _SHORT else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those with many tests, so that no process is
    left alone with a long one at the end.

    Tracing takes as long as the test itself. A slow test, and a hundred examples of a
    property, add no lines to those of the quick tests of the same code.
    """
    tests = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """A handler that a test leaves behind writes to a stream that pytest closes."""
    before = logging.root.handlers.copy()
    yield
    assert logging.root.handlers == before, "set_up is for a process, not for a test"
