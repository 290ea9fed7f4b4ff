"""What the clients of a server saw: answer by answer, and the figures of a run."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.traces import Request

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`events_s`: when each piece of text came. Times count from the run's start.
    `is_cut`: the client has gone before the end."""

    request: Request
    start_s: float
    events_s: list[float]
    tokens: int
    error: str | None
    is_cut: bool = False

    @property
    def ttft_s(self) -> float:
        return self.events_s[0] - self.start_s

    @property
    def tpot_s(self) -> float:
        return (self.events_s[-1] - self.events_s[0]) / (self.tokens - 1)

    @property
    def e2e_s(self) -> float:
        return self.events_s[-1] - self.start_s

    def tokens_until(self, now: float) -> float:
        return self.tokens * bisect_right(self.events_s, now) / len(self.events_s)


@dataclass(frozen=True, slots=True)
class Result:
    """`parts`: answers that were cut off, counted in the steady window alone. `busy_s`:
    when it begins, if not after a tenth of the time; then it lasts to the end."""

    answers: list[Answer]
    errors: list[str]
    wall_s: float
    parts: list[Answer] = field(default_factory=list)
    busy_s: float | None = None

    @property
    def steady_s(self) -> tuple[float, float]:
        if self.busy_s is None:
            return 0.1 * self.wall_s, 0.9 * self.wall_s
        return self.busy_s, self.wall_s

    def steady_tokens_per_s(self) -> float:
        first, last = self.steady_s
        seen = [*self.answers, *self.parts]
        tokens = sum(a.tokens_until(last) - a.tokens_until(first) for a in seen)
        return tokens / (last - first) if last > first else math.nan

    def steady_ttft_p50_ms(self) -> float:
        """Of the answers that were asked for in the steady window."""
        first, last = self.steady_s
        seen = [*self.answers, *self.parts]
        times = [a.ttft_s for a in seen if first <= a.start_s < last]
        return percentile(times, 50) * 1e3

    def latencies_ms(self) -> dict[str, list[float]]:
        several = [a for a in self.answers if a.tokens > 1]
        return {
            "ttft": [a.ttft_s * 1e3 for a in self.answers],
            "tpot": [a.tpot_s * 1e3 for a in several],
            "e2e": [a.e2e_s * 1e3 for a in self.answers],
        }

    def ttft_spread(self) -> float:
        """The worst adapter's p99 TTFT as a multiple of the median adapter's."""
        times: defaultdict[str | None, list[float]] = defaultdict(list)
        for answer in self.answers:
            times[answer.request.adapter].append(answer.ttft_s)
        worst = [percentile(each, 99) for each in times.values()]
        return max(worst) / median(worst) if worst else math.nan

    def jain(self) -> float:
        """Jain's index of what share of its demand each adapter got: 1 is even.

        Taken at the end of the steady window: in the end all is served.
        """
        now = 0.9 * self.wall_s
        served: defaultdict[str | None, float] = defaultdict(float)
        wanted: defaultdict[str | None, float] = defaultdict(float)
        for answer in self.answers:
            if answer.start_s <= now:
                served[answer.request.adapter] += answer.tokens_until(now)
                wanted[answer.request.adapter] += answer.tokens
        shares = [served[adapter] / wanted[adapter] for adapter in wanted]
        squares = sum(share**2 for share in shares)
        return sum(shares) ** 2 / len(shares) / squares if squares else math.nan

    def figures(self) -> dict[str, float | None]:
        """The last line; None for what could not be measured."""
        prompts = sum(a.request.prompt_tokens for a in self.answers)
        found = {
            "tokens_per_s": sum(a.tokens for a in self.answers) / self.wall_s,
            "steady_tokens_per_s": self.steady_tokens_per_s(),
            "steady_ttft_p50_ms": self.steady_ttft_p50_ms(),
            "prompt_tokens_per_s": prompts / self.wall_s,
            "ttft_p99_max_over_median": self.ttft_spread(),
            "jain": self.jain(),
            "answers": len(self.answers),
            "errors": len(self.errors),
            "wall_s": self.wall_s,
        }
        for name, times in self.latencies_ms().items():
            for q in PERCENTILES:
                found[f"{name}_p{q}_ms"] = percentile(times, q)
        return {k: None if math.isnan(v) else round(v, 3) for k, v in found.items()}


def percentile(values: Iterable[float], q: float) -> float:
    """Interpolated between neighbours; NaN of nothing."""
    ranked = sorted(values)
    if not ranked:
        return math.nan
    place = (len(ranked) - 1) * q / 100
    low, high = ranked[math.floor(place)], ranked[math.ceil(place)]
    return low + (high - low) * (place % 1)
