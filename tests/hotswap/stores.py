"""Stores of a few adapters, for the tests of the store."""

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from tests.fakes import generation

A, B = generation("a"), generation("b")
HERE = Origin(src="here")


def knows_one() -> Store:
    """Knows A under the name `one`."""
    store = Store()
    store.adopt("one", A, HERE)
    return store


def full(count: int) -> Store:
    """Room for so many, and as many there: `a`, `b` and so on."""
    store = Store(max_loaded=count)
    for key in "abcd"[:count]:
        store.adopt(key, generation(key), HERE)
    return store
