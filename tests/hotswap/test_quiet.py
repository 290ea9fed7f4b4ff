"""The filters of warnings come back, whoever reads adapters at the same time."""

import warnings

import pytest

from hotswap.adapters.quiet import quiet


def test_two_that_overlap_leave_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    first, second = quiet(), quiet()

    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("one is still inside", stacklevel=1)
    second.__exit__(None, None, None)

    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard again", stacklevel=1)


def test_one_that_fails_leaves_the_filters_as_they_were() -> None:
    before = list(warnings.filters)

    with pytest.raises(ValueError, match="inside"), quiet():
        raise ValueError("inside")

    assert list(warnings.filters) == before
