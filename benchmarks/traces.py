"""Seeded traces of requests: when they arrive, for which adapter, how long they are.

Each aspect draws from a random stream of its own, so that changing one knob leaves the
others' draws as they were: the same seed at twice the rate asks for the same adapters.
A spec is a name and its numbers: `poisson:20`, `gamma:20,3`, `lognormal:80,0.5`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from random import Random

Length = Callable[[Random], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`adapter` None is the bare model. `at_s` counts from the start of the trace."""

    id: int
    at_s: float
    adapter: str | None
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Times from zero on. With a `concurrency` they are all zero: each of so many
    clients sends its next request when the last one is answered."""

    times: Callable[[Random], Iterator[float]]
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """`seed` also makes the prompts, so that no two traces share one."""

    seed: int
    requests: tuple[Request, ...]
    concurrency: int | None

    @property
    def shares(self) -> list[float]:
        """Of the requests, by adapter, the largest first; the bare model counts too."""
        counts = Counter(request.adapter for request in self.requests)
        return [count / len(self.requests) for _, count in counts.most_common()]

    @property
    def top_share(self) -> float:
        return self.shares[0]

    @property
    def effective_adapters(self) -> float:
        """exp of the entropy: how many equally popular adapters would be as spread."""
        return math.exp(-sum(share * math.log(share) for share in self.shares))


def closed(concurrency: float) -> Arrivals:
    def times(_: Random) -> Iterator[float]:
        while True:
            yield 0.0

    if concurrency < 1 or concurrency != int(concurrency):
        raise ValueError(f"{concurrency} is no number of clients")
    return Arrivals(times, int(concurrency))


def poisson(rate: float) -> Arrivals:
    return gamma(rate, 1.0)


def gamma(rate: float, cv: float) -> Arrivals:
    """Gaps of mean 1 / rate and coefficient of variation `cv`: above 1 is bursty."""

    def times(random: Random) -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += random.gammavariate(1 / cv**2, cv**2 / rate)

    return Arrivals(times)


def onoff(rate_on: float, rate_off: float, t_on: float, t_off: float) -> Arrivals:
    """Poisson, whose rate is `rate_on` for `t_on` seconds, then `rate_off`, and so on.

    Made by thinning a stream at the higher rate: exact, also across the edges.
    """

    def times(random: Random) -> Iterator[float]:
        now, highest = 0.0, max(rate_on, rate_off)
        while True:
            rate = rate_on if now % (t_on + t_off) < t_on else rate_off
            if random.random() * highest < rate:
                yield now
            now += random.expovariate(highest)

    return Arrivals(times)


def fixed(tokens: float) -> Length:
    return lambda _: int(tokens)


def uniform(least: float, most: float) -> Length:
    return lambda random: random.randint(int(least), int(most))


def lognormal(median: float, sigma: float, most: float = 4096) -> Length:
    """Cut at `most`: the model's context ends somewhere."""
    return lambda random: round(
        min(max(random.lognormvariate(math.log(median), sigma), 1), most)
    )


ARRIVALS: dict[str, Callable[..., Arrivals]] = {
    "closed": closed,
    "poisson": poisson,
    "gamma": gamma,
    "onoff": onoff,
}
LENGTHS: dict[str, Callable[..., Length]] = {
    "fixed": fixed,
    "uniform": uniform,
    "lognormal": lognormal,
}


def arrivals(spec: str) -> Arrivals:
    name, numbers = _split(spec)
    return ARRIVALS[name](*numbers)


def length(spec: str) -> Length:
    name, numbers = _split(spec)
    return LENGTHS[name](*numbers)


def _split(spec: str) -> tuple[str, list[float]]:
    name, _, numbers = spec.partition(":")
    return name, [float(number) for number in numbers.split(",")]


def generate(
    seed: int,
    count: int,
    *,
    arrivals: Arrivals,
    adapters: Sequence[str] = (),
    zipf: float = 0.0,
    base_share: float = 0.0,
    stay: float = 0.0,
    prompt: Length,
    output: Length,
) -> Trace:
    """The i-th adapter is as popular as i^-zipf. With probability `stay` a request is
    for what the one before it was for; the popularity stays as it is."""
    popularity = [i**-zipf for i in range(1, len(adapters) + 1)]
    rest = (1 - base_share) / sum(popularity) if adapters else 0.0
    names: list[str | None] = [None, *adapters]
    weights = [base_share if adapters else 1.0, *(p * rest for p in popularity)]
    summed = list(accumulate(weights))  # once, and not for every request
    when, who, prompts, outputs = (
        Random(f"{seed} {aspect}")
        for aspect in ("arrivals", "adapters", "prompts", "outputs")
    )
    requests: list[Request] = []
    for at_s in islice(arrivals.times(when), count):
        drawn = who.choices(names, cum_weights=summed)[0]
        kept = who.random() < stay and requests
        requests.append(
            Request(
                id=len(requests),
                at_s=at_s,
                adapter=requests[-1].adapter if kept else drawn,
                prompt_tokens=prompt(prompts),
                output_tokens=output(outputs),
            )
        )
    return Trace(seed, tuple(requests), arrivals.concurrency)
