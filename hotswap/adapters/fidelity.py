"""Fidelity: how much of an update survives its rounding to the weights' dtype.

A weight of the model is a number of its dtype, so an update smaller than half the gap
to the next one is lost, and a larger one is rounded. The loss is the length of what is
lost over the length of the whole update: 0 if all of it arrives, 1 if none does.
(Measured, not estimated, as SGLang's diffusion server does before it merges.)
"""

from collections.abc import Iterable, Iterator, Mapping

import torch

from hotswap.adapters.factors import factors
from hotswap.adapters.generation import Delta, Rewrite
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused

# What is looked at: so many low-rank updates and rows of each, so many rewrites
_DELTAS = 32
_ROWS = 16
_REWRITES = 8
_TILE = 1024  # rows of a weight in float64 at once


def merge_loss(
    deltas: Mapping[str, Delta], rewrites: Mapping[str, Rewrite], layout: Layout
) -> float:
    """The share that is lost, 0 to 1. Raises AdapterRefused if nothing is changed, or
    if what comes out is not finite."""
    whole = lost = 0.0
    for path, delta in deltas.items():
        _check_finite(path, delta, layout)
    for path in _spread(deltas, _DELTAS):
        golden, merged = _of_delta(path, deltas[path], layout)
        part, gone = _squares(golden, merged)
        whole, lost = whole + part, lost + gone
    spread = _spread(rewrites, _REWRITES)
    # The others follow for as long as nothing has shown any effect.
    for number, path in enumerate([*spread, *rewrites]):
        if number >= len(spread) and whole:
            break
        for name, golden, merged in _of_rewrite(path, rewrites[path], layout):
            if not bool(torch.isfinite(merged).all()):
                raise AdapterRefused("not_finite", f"{path}.{name} is not finite")
            part, gone = _squares(golden, merged)
            whole, lost = whole + part, lost + gone
    if not whole and rewrites:
        raise AdapterRefused("zero_effect", "merged, it leaves every weight as it is")
    return min(1.0, (lost / whole) ** 0.5) if whole else 0.0


def fits_mixed(deltas: Mapping[str, Delta], layout: Layout) -> bool:
    """Whether all factors are finite in the weights' dtype."""
    for path, delta in deltas.items():
        dtype = layout.matrix(path).dtype
        for factor in factors(delta, torch.device("cpu")):
            if not bool(factor.to(dtype).isfinite().all()):
                return False
    return True


def _spread(paths: Iterable[str], most: int) -> list[str]:
    """About `most` of them, spread over the depth of the model."""
    ordered = sorted(paths)
    return ordered[:: max(1, len(ordered) // most)]


def _check_finite(path: str, delta: Delta, layout: Layout) -> None:
    """Raises AdapterRefused if a weight, merged, is not finite in its dtype."""
    golden = layout.matrix(path)
    # No number of B A is larger than a row of B times a column of A (Cauchy-Schwarz):
    # for all but the strangest adapters that says enough, at a small part of a merge.
    most = torch.linalg.vector_norm(delta.b.double(), dim=1).amax()
    most *= torch.linalg.vector_norm(delta.a.double(), dim=0).amax() * abs(delta.scale)
    if bool(most < torch.finfo(golden.dtype).max / 2):
        return
    for start in range(0, golden.shape[0], _TILE):
        part = slice(start, start + _TILE)
        update = delta.b[part].double() @ delta.a.double() * delta.scale
        merged = golden[part].double() + update.to(golden.device)
        if not bool(merged.to(golden.dtype).isfinite().all()):
            raise AdapterRefused("not_finite", f"{path}: its update is not finite")


def _of_delta(
    path: str, delta: Delta, layout: Layout
) -> tuple[torch.Tensor, torch.Tensor]:
    """A spread of rows: golden, and merged in float32."""
    weight = layout.matrix(path)
    rows = torch.arange(0, weight.shape[0], max(1, weight.shape[0] // _ROWS))
    golden = weight[rows.to(weight.device)]
    update = delta.b[rows].float() @ delta.a.float() * delta.scale
    return golden, golden.float() + update.to(golden.device)


def _of_rewrite(
    path: str, rewrite: Rewrite, layout: Layout
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    held = layout.golden[path]
    dtype = next(iter(held.values())).dtype
    for name, merged in rewrite(held).items():
        golden = held.get(name)
        if golden is None:  # a bias that the model has not
            golden = torch.zeros(merged.shape, dtype=dtype)
        rows = min(golden.shape[0], merged.shape[0])
        yield name, golden[:rows], merged[:rows].to(golden.device, torch.float32)


def _squares(golden: torch.Tensor, merged: torch.Tensor) -> tuple[float, float]:
    """Squared lengths of the update, and of what rounding takes from it."""
    whole = torch.linalg.vector_norm(merged - golden.float())
    lost = torch.linalg.vector_norm(merged - merged.to(golden.dtype).float())
    return float(whole) ** 2, float(lost) ** 2
