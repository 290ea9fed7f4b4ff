"""FakeGraphs: a graph backend without a device that finds what a graph gets wrong.

It notes each operation of the work with the address, shape and strides of every tensor
that comes from outside, weights included, and every number. A replay runs the work
again and asserts that all of it is the same: where it is not, a CUDA graph would go on
with the old address or number, and answer from another adapter.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from hotswap.model.gpu.graphs import Work
from hotswap.model.gpu.kernel_set import Kernels

# What asks the device for a value, or uploads one that may be another next time
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "unique")
Note = tuple[object, ...]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what is done within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.notes: list[Note] = []
        self._made: dict[int, int] = {}  # by storage: the note that it comes from
        self._alive: list[torch.Tensor] = []  # else an address could be given twice

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        assert not any(word in name for word in WAITING), f"{name} in a graph"
        found = func(*args, **(kwargs or {}))
        self.note(name, (args, kwargs), found)
        return found

    def note(self, name: str, given: object, found: object) -> None:
        read = list(leaves(given))
        before = {_storage(v) for v in read if isinstance(v, torch.Tensor)}
        self.notes.append((name, *map(self._leaf, read)))
        for value in leaves(found):
            if isinstance(value, torch.Tensor) and _storage(value) not in before:
                self._made.setdefault(_storage(value), len(self.notes))
                self._alive.append(value)

    def _leaf(self, value: object) -> object:
        if not isinstance(value, torch.Tensor):
            return repr(value)
        made = self._made.get(_storage(value))
        address = f"{value.data_ptr():x}" if made is None else f"made at {made}"
        return address, tuple(value.shape), value.stride(), value.dtype


class FakeGraphs:
    """`captured`: how many graphs; `replayed`: how often."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = 0
        self.refuses = False  # to capture anything
        self._recorder: Recorder | None = None

    def kernels(self, plain: Kernels) -> Kernels:
        """`plain`, each noted as one operation whatever it does inside."""
        return replace(
            plain,
            **{
                field.name: partial(self._call, field.name, getattr(plain, field.name))
                for field in fields(plain)
            },
        )

    def capture(self, work: Work) -> Work:
        self.captured += 1
        if self.refuses:
            raise RuntimeError("injected: operation not permitted while capturing")
        noted = self._run(work)
        return lambda: self._replay(work, noted)

    def _replay(self, work: Work, noted: list[Note]) -> None:
        self.replayed += 1
        for was, now in zip(noted, self._run(work), strict=True):
            assert was == now, f"a graph was captured with {was}, now it is {now}"

    def _run(self, work: Work) -> list[Note]:
        recorder = self._recorder = Recorder()
        try:
            with recorder:
                work()
        finally:
            self._recorder = None
        return recorder.notes

    def _call(self, name: str, function: Any, *args: object, **kwargs: object) -> Any:
        if self._recorder is None:
            return function(*args, **kwargs)
        with _disable_current_modes():
            found = function(*args, **kwargs)
        self._recorder.note(name, (args, kwargs), found)
        return found


def leaves(value: object) -> Iterator[object]:
    """What is in nested tuples, lists, mappings and dataclasses."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from leaves(list(value.items()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from leaves(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))
    else:
        yield value


def _storage(value: torch.Tensor) -> int:
    return int(value.untyped_storage()._cdata)
