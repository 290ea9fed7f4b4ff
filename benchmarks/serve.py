"""Load on a server, and what its clients saw: `python -m benchmarks.serve --url URL`.

Replays a seeded trace against any OpenAI-compatible /v1/completions, streaming, greedy,
every answer of an exact length. Measures tokens per second, the time to the first token
(TTFT), per further token (TPOT) and to the last one (E2E), and how fairly adapters are
served. Open arrivals are timed from when they were due, not from when they were sent.
Tokens are the server's own count, spread evenly over its events. The steady window
leaves out the first and last tenth of the time; in a loop that is `cut` it lasts from
the last client's first token until the first client has nothing more to ask. Hides:
starting the server, and whatever `--warmup` requests hide. The client shares the
server's machine and takes some of it, so it reads only the last event of an answer.
"""

import argparse
import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

import httpx

from benchmarks.answers import PERCENTILES, Answer, Result, percentile
from benchmarks.traces import Request, Trace, arrivals, generate, length

# Ids that every vocabulary has, past the special ones.
IDS = range(300, 10_000)


def run(
    url: str, trace: Trace, *, base: str = "base", warmup: int = 0, cut: bool = False
) -> Result:
    """Replay `trace`, after its first `warmup` requests with other prompts, unmeasured.

    `base` is the server's name of the bare model. `cut`: a closed loop ends as soon as
    one of its clients has nothing more to ask, and the others' answers are cut off.
    """
    return asyncio.run(_run(url, trace, base, warmup, cut))


async def _run(url: str, trace: Trace, base: str, warmup: int, cut: bool) -> Result:
    no_limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=url, timeout=600, limits=no_limits, trust_env=False
    ) as client:
        if warmup:
            # Other prompts: a server may keep those it has seen.
            first = replace(trace, seed=~trace.seed, requests=trace.requests[:warmup])
            await _play(client, first, base, cut=False)
        answers = await _play(client, trace, base, cut)
    errors = [a.error for a in answers if a.error is not None]
    whole = [a for a in answers if a.error is None and not a.is_cut]
    wall_s = max((a.events_s[-1] for a in whole), default=math.nan)
    if not cut or not whole:
        return Result(whole, errors, wall_s)
    # Nobody counted these: as many tokens an event as the others had.
    each = sum(a.tokens for a in whole) / sum(len(a.events_s) for a in whole)
    parts = [
        replace(a, tokens=round(each * len(a.events_s)))
        for a in answers
        if a.is_cut and a.events_s
    ]
    at_first = range(trace.concurrency or 0)
    begun = [a.events_s[0] for a in [*whole, *parts] if a.request.id in at_first]
    return Result(whole, errors, wall_s, parts, max(begun))


async def _play(
    client: httpx.AsyncClient, trace: Trace, base: str, cut: bool
) -> list[Answer]:
    # Encoded before the clock starts.
    bodies = [_body(r, trace.seed, base) for r in trace.requests]
    waiting = iter(zip(trace.requests, bodies, strict=True))
    answers: list[Answer] = []
    is_dry = False
    zero = time.perf_counter()

    async def one(request: Request, body: bytes, start_s: float) -> None:
        answers.append(
            await _ask(
                client, request, body, zero, start_s, is_over=lambda: cut and is_dry
            )
        )

    async def in_turn() -> None:
        nonlocal is_dry
        for request, body in waiting:
            await one(request, body, time.perf_counter() - zero)
        is_dry = True

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
    client: httpx.AsyncClient,
    request: Request,
    body: bytes,
    zero: float,
    at_s: float,
    *,
    is_over: Callable[[], bool],
) -> Answer:
    """`is_over`: looked at with each piece; the answer is cut off when it is true."""
    events_s: list[float] = []
    last = previous = rest = b""
    tokens, error, is_cut = 0, None, False
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
                is_ended = last == b"data: [DONE]" or not response.is_success
                is_cut = is_over() and not is_ended
                if is_cut:
                    break
        if last == b"data: [DONE]":
            tokens = json.loads(previous[5:])["usage"]["completion_tokens"]
            del events_s[-2:]  # the usage and the end carry no text
            if tokens != request.output_tokens:
                error = f"{tokens} tokens, not {request.output_tokens}"
        elif not is_cut:  # a refusal is no stream; an error in one ends it
            error = f"{response.status_code}: {(rest or last)[:300].decode()}"
    except (httpx.HTTPError, ValueError, KeyError) as failure:
        error = repr(failure)
    return Answer(
        request=request,
        start_s=at_s,
        events_s=events_s,
        tokens=tokens,
        error=error,
        is_cut=is_cut,
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
