"""Load on a server, and what its clients saw: `python -m benchmarks.serve --url URL`.

Replays a seeded trace against any OpenAI-compatible /v1/completions, streaming, greedy,
every answer of an exact length. Measures tokens per second, the time to the first token
(TTFT), per further token (TPOT) and to the last one (E2E), and how fairly adapters are
served. Open arrivals are timed from when they were due, not from when they were sent.
Tokens are the server's own count, spread evenly over its events. The steady window
leaves out the first and last tenth of the time. Hides: starting the server, and
whatever `--warmup` requests hide. The client shares the server's machine and takes some
of it, so it reads only the last event of an answer.
"""

import argparse
import asyncio
import json
import math
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from statistics import median

import httpx

from benchmarks.traces import Request, Trace, arrivals, generate, length

# Ids that every vocabulary has, past the special ones.
IDS = range(300, 10_000)
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`events_s`: when each piece of text came. Times count from the run's start."""

    request: Request
    start_s: float
    events_s: list[float]
    tokens: int
    error: str | None

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
    answers: list[Answer]
    errors: list[str]
    wall_s: float

    def steady_tokens_per_s(self) -> float:
        first, last = 0.1 * self.wall_s, 0.9 * self.wall_s
        tokens = sum(a.tokens_until(last) - a.tokens_until(first) for a in self.answers)
        return tokens / (last - first)

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


def run(url: str, trace: Trace, *, base: str = "base", warmup: int = 0) -> Result:
    """Replay `trace`, after its first `warmup` requests with other prompts, unmeasured.

    `base` is the server's name of the bare model.
    """
    return asyncio.run(_run(url, trace, base, warmup))


async def _run(url: str, trace: Trace, base: str, warmup: int) -> Result:
    no_limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=url, timeout=600, limits=no_limits, trust_env=False
    ) as client:
        if warmup:
            # Other prompts: a server may keep those it has seen.
            first = replace(trace, seed=~trace.seed, requests=trace.requests[:warmup])
            await _play(client, first, base)
        answers = await _play(client, trace, base)
    good = [a for a in answers if a.error is None]
    wall_s = max((a.events_s[-1] for a in good), default=math.nan)
    return Result(good, [a.error for a in answers if a.error is not None], wall_s)


async def _play(client: httpx.AsyncClient, trace: Trace, base: str) -> list[Answer]:
    # Encoded before the clock starts.
    bodies = [_body(r, trace.seed, base) for r in trace.requests]
    waiting = iter(zip(trace.requests, bodies, strict=True))
    answers: list[Answer] = []
    zero = time.perf_counter()

    async def one(request: Request, body: bytes, start_s: float) -> None:
        answers.append(await _ask(client, request, body, zero, start_s))

    async def in_turn() -> None:
        for request, body in waiting:
            await one(request, body, time.perf_counter() - zero)

    async with asyncio.TaskGroup() as group:
        if trace.concurrency is not None:
            for _ in range(trace.concurrency):
                group.create_task(in_turn())
        else:
            for request, body in waiting:
                await asyncio.sleep(request.at_s + zero - time.perf_counter())
                group.create_task(one(request, body, request.at_s))
    return answers


def _body(request: Request, seed: int, base: str) -> bytes:
    """The prompt is token ids, so that its length is exact."""
    random = Random(f"{seed} {request.id}")
    body = {
        "model": request.adapter or base,
        "prompt": random.choices(IDS, k=request.prompt_tokens),
        "max_tokens": request.output_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(body).encode()


async def _ask(
    client: httpx.AsyncClient, request: Request, body: bytes, zero: float, at_s: float
) -> Answer:
    events_s: list[float] = []
    last = previous = rest = b""
    tokens, error = 0, None
    headers = {"content-type": "application/json"}
    try:
        async with client.stream(
            "POST", "/v1/completions", content=body, headers=headers
        ) as response:
            async for piece in response.aiter_raw():
                now = time.perf_counter() - zero
                # A line break inside JSON is escaped: this can only end an event.
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    previous, last = last, event
                    events_s.append(now)
        if last == b"data: [DONE]":
            tokens = json.loads(previous[5:])["usage"]["completion_tokens"]
            del events_s[-2:]  # the usage and the end carry no text
            if tokens != request.output_tokens:
                error = f"{tokens} tokens, not {request.output_tokens}"
        else:  # a refusal is no stream; an error in one ends it
            error = f"{response.status_code}: {(rest or last)[:300].decode()}"
    except (httpx.HTTPError, ValueError, KeyError) as failure:
        error = repr(failure)
    return Answer(
        request=request, start_s=at_s, events_s=events_s, tokens=tokens, error=error
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve")
    parser.add_argument("--url", required=True)
    parser.add_argument("--adapters", default="", help="names, the most popular first")
    parser.add_argument("--base", default="base", help="the bare model's name")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arrivals", type=arrivals, default="closed:16")
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--base-share", type=float, default=0.0)
    parser.add_argument("--stay", type=float, default=0.0)
    parser.add_argument("--prompt-tokens", type=length, default="fixed:80")
    parser.add_argument("--output-tokens", type=length, default="fixed:64")
    parser.add_argument("--warmup", type=int, default=16)
    args = parser.parse_args()
    trace = generate(
        args.seed,
        args.requests,
        arrivals=args.arrivals,
        adapters=[name for name in args.adapters.split(",") if name],
        zipf=args.zipf,
        base_share=args.base_share,
        stay=args.stay,
        prompt=args.prompt_tokens,
        output=args.output_tokens,
    )
    result = run(args.url, trace, base=args.base, warmup=args.warmup)
    figures = result.figures()
    figures["top_share"] = round(trace.top_share, 3)
    figures["effective_adapters"] = round(trace.effective_adapters, 3)
    print("| ms | p50 | p90 | p99 |\n|---|---|---|---|")
    for name, times in result.latencies_ms().items():
        cells = (f"{percentile(times, q):.1f}" for q in PERCENTILES)
        print(f"| {name.upper()} | {' | '.join(cells)} |")
    print("\n| | |\n|---|---|")
    for name, value in figures.items():
        if not name.endswith("_ms"):
            print(f"| {name.replace('_', ' ')} | {value} |")
    for error in result.errors[:5]:
        print(f"\nerror: {error}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
