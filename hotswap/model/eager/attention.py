"""Attention over the KV arena, for all rows of a step at once.

Decoding rows whose contexts are short and alike are gathered and attend in one call;
those with a longer one attend by themselves, on a view of the arena where their blocks
are neighbours. In both, the query heads of a KV head are folded into the query length:
on the CPU that is 4 to 8 times faster than `enable_gqa` at query length 1. Prefilling
rows attend job by job.
"""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from hotswap.model.eager.kv import KV, Part, Seen, arena_rows, arena_rows_of_all
from hotswap.model.network.rows import BLOCK_TOKENS

# Gathering copies the context, a call of one's own costs its overhead: on 2 cores the
# two meet at about 250 tokens. Contexts up to it share a call with those that round up
# to the same power of two, so at most half of what is gathered is padding.
# A longer one in pieces is copied, too: 1.3 to 1.8 times the time of a view, of 500 to
# 4,000 tokens. Two pieces attended to apart, merged by log-sum-exp, would take 0.95 to
# 1.4 times; but each piece is a call of its own, and jobs that grow beside each other
# have many.
_LONG = 256
_SHORT = 64


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows [row, row + tokens) of the step are positions from `position` of the job
    whose KV is in `blocks`."""

    row: int
    tokens: int
    position: int
    blocks: "array[int]"

    def seen(self, window: int | None) -> Part:
        """What its tokens see, all together."""
        first = max(0, self.position + 1 - window) if window else 0
        return self.blocks, first, self.position + self.tokens


@dataclass(frozen=True, slots=True)
class _Decode:
    rows: torch.Tensor | None  # [n] rows of the step; None: all of them, in order
    seen: torch.Tensor | Seen  # [n * longest] arena rows, or what the one job sees
    n: int
    mask: torch.Tensor | None  # [n, 1, 1, longest] additive, None if nothing is padded


@dataclass(frozen=True, slots=True)
class _Prefill:
    rows: slice
    seen: Seen
    mask: torch.Tensor | None  # [tokens, seen] additive, None for plain causal


@dataclass(slots=True)
class Attention:
    """One step's segments, and what follows from them for each sliding window."""

    kv: KV
    segments: list[Segment]
    device: torch.device
    write: torch.Tensor = field(init=False)  # [tokens] arena rows of the step's rows
    _plans: dict[int | None, tuple[list[_Decode], list[_Prefill]]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        rows: list[int] = []
        for p in self.segments:
            if p.tokens == 1:
                block, offset = divmod(p.position, BLOCK_TOKENS)
                rows.append(p.blocks[block] * BLOCK_TOKENS + offset)
            else:
                part = p.blocks, p.position, p.position + p.tokens
                rows.extend(arena_rows(part).tolist())
        self.write = torch.tensor(rows, device=self.device)

    def attend(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        *,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """[tokens, heads, head_dim] -> the same shape. Writes `k` and `v` to the KV."""
        keys, values = self.kv.write(layer, self.write, k, v)
        decodes, prefills = self._plan(window, q.dtype)
        out = None
        for d in decodes:
            attended = _decode(d, q, keys, values, scaling)
            if d.rows is None:
                return attended
            if out is None:
                out = q.new_empty((*q.shape[:2], values.shape[-1]))
            out.index_copy_(0, d.rows, attended)
        for p in prefills:
            attended = sdpa(
                q[p.rows].transpose(0, 1)[None],
                p.seen.of(keys).transpose(0, 1)[None],
                p.seen.of(values).transpose(0, 1)[None],
                attn_mask=p.mask,
                is_causal=p.mask is None,
                scale=scaling,
                enable_gqa=q.shape[1] != keys.shape[1],
            )[0].transpose(0, 1)
            if out is None and len(self.segments) == 1:
                return attended
            if out is None:
                out = q.new_empty((*q.shape[:2], values.shape[-1]))
            out[p.rows] = attended
        assert out is not None, "a step without rows"
        return out

    def _plan(
        self, window: int | None, dtype: torch.dtype
    ) -> tuple[list[_Decode], list[_Prefill]]:
        """Built once for a step and a window, used by all layers."""
        if window not in self._plans:
            groups: defaultdict[int, list[Segment]] = defaultdict(list)
            decodes, prefills = [], []
            for segment in self.segments:
                seen = min(segment.position + 1, window or segment.position + 1)
                if segment.tokens > 1:
                    prefills.append(self._prefill(segment, window, dtype))
                elif seen > _LONG:
                    decodes.append(self._alone(segment, window))
                else:
                    groups[max(seen - 1, _SHORT).bit_length()].append(segment)
            for together in groups.values():
                if len(together) == 1:
                    decodes.append(self._alone(together[0], window))
                else:
                    decodes.append(self._together(together, window, dtype))
            self._plans[window] = decodes, prefills
        return self._plans[window]

    def _rows(self, segments: list[Segment]) -> torch.Tensor | None:
        if len(segments) == len(self.segments):
            return None
        return torch.tensor([p.row for p in segments], device=self.device)

    def _alone(self, segment: Segment, window: int | None) -> _Decode:
        seen = self.kv.seen(segment.seen(window))
        return _Decode(self._rows([segment]), seen, 1, None)

    def _together(
        self, segments: list[Segment], window: int | None, dtype: torch.dtype
    ) -> _Decode:
        # What is behind its end repeats a row's first: nobody else's may be read.
        rows, inside = arena_rows_of_all(p.seen(window) for p in segments)
        mask = None
        if not inside.all():
            mask = torch.zeros(inside.shape, dtype=dtype)
            mask.masked_fill_(~torch.from_numpy(inside), float("-inf"))
            mask = mask[:, None, None, :].to(self.device)
        gather = torch.from_numpy(rows).flatten().to(self.device)
        return _Decode(self._rows(segments), gather, len(segments), mask)

    def _prefill(
        self, segment: Segment, window: int | None, dtype: torch.dtype
    ) -> _Prefill:
        _, first, stop = part = segment.seen(window)
        mask = None
        if segment.position or (window and stop > window):
            query = torch.arange(segment.position, stop, device=self.device)[:, None]
            key = torch.arange(first, stop, device=self.device)
            hidden = key > query
            if window:
                hidden |= key <= query - window
            mask = torch.zeros(hidden.shape, dtype=dtype, device=self.device)
            mask.masked_fill_(hidden, float("-inf"))
        rows = slice(segment.row, segment.row + segment.tokens)
        return _Prefill(rows, self.kv.seen(part), mask)


def _decode(
    d: _Decode,
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """[n, heads, head_dim] of the group's rows."""
    if d.rows is not None:
        q = q.index_select(0, d.rows)
    if isinstance(d.seen, Seen):
        k, v = d.seen.of(keys), d.seen.of(values)
    else:
        k, v = keys.index_select(0, d.seen), values.index_select(0, d.seen)
    kv_heads = keys.shape[1]
    attended = sdpa(
        q.view(d.n, kv_heads, q.shape[1] // kv_heads, q.shape[-1]),
        k.view(d.n, -1, *k.shape[1:]).transpose(1, 2),
        v.view(d.n, -1, *v.shape[1:]).transpose(1, 2),
        attn_mask=d.mask,
        scale=scaling,
    )
    return attended.reshape(d.n, q.shape[1], -1)
