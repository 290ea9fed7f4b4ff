"""Latencies: how long clients waited, and how long steps and swaps took.

Written by the engine thread, read by anybody at any time: a list or a dict is copied in
one go. Seconds, as histograms of everything since the start, and the last values of
each kind for a person who looks now.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hotswap.engine.job_times import JobStats, Swapped
from scheduler import Mode, Swap

# Upper bounds in seconds, four to a factor of ten: of a GPU's step to a long answer.
BOUNDS = tuple(
    float(f"{mantissa}e{power}") for power in range(-3, 4) for mantissa in (1, 2, 4, 7)
)
_RECENT = 1000
_MOST_NAMES = 1000  # of sums of adapters there is no end


@dataclass(frozen=True, slots=True)
class Observed:
    """`counts`: of each bound the values up to it and above the bound before; the last
    are above all. `sum`: of the values, in seconds."""

    counts: tuple[int, ...]
    sum: float


def merged(several: Sequence[Observed]) -> Observed:
    """All values of several; of none, none."""
    none = (0,) * (len(BOUNDS) + 1)
    each = zip(none, *(one.counts for one in several), strict=True)
    return Observed(tuple(map(sum, each)), sum(one.sum for one in several))


class Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    @property
    def sum(self) -> float:
        return self._sum

    @property
    def count(self) -> int:
        return sum(self._counts)

    def observed(self) -> Observed:
        return Observed(tuple(self._counts), self._sum)


class OfAdapter:
    """What the jobs of one adapter have waited."""

    def __init__(self) -> None:
        self.first_token = Histogram()  # from the request to its first token
        self.between_tokens = Histogram()
        self.whole = Histogram()  # from the request to its last token


class Latencies:
    """`by_adapter`: by the name that was asked for, "" is the bare model; None is
    all that were asked for when there were many already. `step`: by
    mode; `swap`: `warm`, `cold`, or built `ahead` of its turn. `queue`, `prefill`,
    `decode`: as `JobStats` has them, of all jobs that finished."""

    def __init__(self) -> None:
        self._by_adapter: dict[str | None, OfAdapter] = {}
        self.step = {mode: Histogram() for mode in Mode}
        self.swap = {kind: Histogram() for kind in ("warm", "cold", "ahead")}
        self.queue, self.prefill, self.decode = Histogram(), Histogram(), Histogram()
        self._first_tokens: deque[float] = deque(maxlen=_RECENT)
        self._gaps: deque[float] = deque(maxlen=_RECENT)

    def first_token(self, adapter: str, seconds: float) -> None:
        self._of(adapter).first_token.observe(seconds)
        self._first_tokens.append(seconds)

    def gap(self, adapter: str, seconds: float) -> None:
        """Between two tokens of a job."""
        self._of(adapter).between_tokens.observe(seconds)
        self._gaps.append(seconds)

    def finished(self, adapter: str, stats: JobStats) -> None:
        self._of(adapter).whole.observe(stats.whole_s)
        self.queue.observe(stats.queue_s)
        self.prefill.observe(stats.prefill_s)
        self.decode.observe(stats.decode_s)

    def swapped(self, swap: Swap) -> None:
        """A step has waited for it."""
        self.swap["warm" if swap.warm else "cold"].observe(swap.seconds)

    @property
    def all_swaps(self) -> Swapped:
        """Until now. What is built ahead makes nobody wait."""
        kinds = self.swap["warm"], self.swap["cold"]
        return Swapped(sum(k.count for k in kinds), sum(k.sum for k in kinds))

    def by_adapter(self) -> dict[str | None, OfAdapter]:
        """A copy; the histograms are those that go on."""
        return self._by_adapter.copy()

    def recent(self) -> dict[str, dict[str, float | None]]:
        """The median and the 99th percentile of the last first tokens and gaps; None
        where there was none."""
        kinds = {"first_token_s": self._first_tokens, "between_tokens_s": self._gaps}
        return {
            kind: {"p50": _quantile(values, 0.5), "p99": _quantile(values, 0.99)}
            for kind, values in ((k, sorted(v.copy())) for k, v in kinds.items())
        }

    def _of(self, adapter: str) -> OfAdapter:
        by_name, name = self._by_adapter, adapter
        known = by_name.get(name)
        if known is None and len(by_name) >= _MOST_NAMES:
            known = by_name.setdefault(None, OfAdapter())
        if known is None:
            known = by_name[name] = OfAdapter()
        return known


def _quantile(ascending: Sequence[float], share: float) -> float | None:
    """The nearest rank."""
    return ascending[int(share * (len(ascending) - 1) + 0.5)] if ascending else None
