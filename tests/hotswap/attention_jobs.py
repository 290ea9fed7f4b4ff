"""Jobs of one step of attention, where their blocks are, and what each token sees."""

from array import array
from random import Random

import torch
from hypothesis import strategies as st

from hotswap.model.network.rows import BLOCK_TOKENS

BLOCKS = 80

JOBS = st.lists(
    st.tuples(
        st.integers(0, 90),  # tokens before
        st.one_of(st.just(1), st.integers(1, 40)),  # of the step
        st.sampled_from(["in order", "one gap", "scattered"]),
        st.integers(0, 1),  # blocks that it has and does not need yet
    ),
    min_size=1,
    max_size=6,
)


def tables(jobs: list[tuple[int, int, str, int]], seed: int) -> list["array[int]"]:
    """No two share a block."""
    random = Random(seed)
    free, found = list(range(BLOCKS)), []
    for before, tokens, kind, more in jobs:
        count = -(-(before + tokens) // BLOCK_TOKENS) + more
        if kind == "scattered":
            taken = random.sample(free, count)
        else:
            gap = 1 if kind == "one gap" else 0
            cut = random.randint(0, count)
            taken = free[:cut] + free[cut + gap : count + gap]
        free = [block for block in free if block not in taken]
        found.append(array("i", taken))
    return found


def wanted(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, before: int, window: int | None
) -> torch.Tensor:
    """[tokens, heads, dim] by the definition, in float64; `k`, `v` from position 0."""
    made, group = [], q.shape[1] // k.shape[1]
    for n, each in enumerate(q.double()):
        stop = before + n + 1
        first = max(0, stop - window) if window else 0
        keys = k[first:stop].double().repeat_interleave(group, 1)
        values = v[first:stop].double().repeat_interleave(group, 1)
        scores = torch.einsum("hd,phd->hp", each, keys) * q.shape[-1] ** -0.5
        made.append(torch.einsum("hp,phd->hd", scores.softmax(-1), values))
    return torch.stack(made).float()
