"""Listing: the rows of all adapters, asked for at each step and seldom changed."""

from collections.abc import Callable, Set

from hotswap.adapters.adapter_info import AdapterInfo


class Listing:
    """Only what changed is looked at again."""

    def __init__(self, row: Callable[[str], AdapterInfo]) -> None:
        self._row = row
        self._rows: dict[str, AdapterInfo] = {}  # by name, sorted
        self._all: tuple[AdapterInfo, ...] = ()
        self.stale: set[str] = set()  # names whose row is out of date

    def rows(self, names: Set[str]) -> tuple[AdapterInfo, ...]:
        """Of all `names`, sorted. The same tuple until something changes."""
        if self.stale:
            if self._rows.keys() != names:
                self._rows = {
                    name: self._rows.get(name) or self._row(name)
                    for name in sorted(names)
                }
            for name in self.stale & self._rows.keys():
                self._rows[name] = self._row(name)
            self.stale.clear()
            self._all = tuple(self._rows.values())
        return self._all
