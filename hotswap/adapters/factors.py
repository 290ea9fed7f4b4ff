"""Factors: a delta's, as they are multiplied beside the weights."""

import torch

from hotswap.adapters.generation import Delta


def factors(delta: Delta, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """[rank, in] and [rank, out], balanced, the scale in the second: in float64, the
    first as it came where that is balanced, as of nearly all adapters."""
    a = delta.a.to(device)
    b = delta.b.t().to(device, torch.float64) * delta.scale
    if largest(a) < 1 and largest(b) < 1:
        return a, b
    return balanced(a.double(), b)


def largest(x: torch.Tensor) -> float:
    """The largest absolute value; no number if one is none. Of a few operations the
    cheapest: an adapter has hundreds of factors."""
    low, high = torch.aminmax(x)
    return max(-float(low), float(high))


def balanced(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [..., rank, in] and [..., rank, out] of the same product.

    Neither is larger than 1 if the other can take what is above, in powers of two,
    which change no other bit: a row of the first that overflowed in a product, or of
    the second in the model's type, would be infinite for nothing.
    """
    power = _exponents(a).clamp(min=0)
    spare, excess = power - _exponents(a), (_exponents(b) + power).clamp(min=0)
    power -= torch.minimum(spare, excess)
    factor = torch.ldexp(torch.ones_like(power, dtype=a.dtype), power)
    return a / factor, b * factor


def _exponents(rows: torch.Tensor) -> torch.Tensor:
    """[..., rows, 1] powers of two that the largest of each row is below."""
    return torch.frexp(rows.abs().amax(-1, keepdim=True)).exponent
