"""What the servers that are compared are asked, and what is made of their answers."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from benchmarks.answers import Answer, Result
from benchmarks.peer_cases import CASES, Case
from benchmarks.peer_report import Rounds, targets
from benchmarks.serve import run
from benchmarks.traces import Request, Trace

LOOPS = [case for case in CASES if case.is_cut]


@pytest.mark.parametrize("case", LOOPS, ids=lambda case: case.name)
def test_a_loop_begins_with_answers_of_all_lengths_and_goes_on_with_whole_ones(
    case: Case,
) -> None:
    lengths = [r.output_tokens for r in case.trace(0).requests]

    assert lengths[: case.clients] == list(range(4, 65, 4))
    assert set(lengths[case.clients :]) == {64}


def test_vllm_with_lora_has_the_first_requests_of_the_same_trace() -> None:
    for case in CASES:
        ours, theirs = case.trace(3).requests, case.trace(3, has_lora=True).requests

        assert theirs == ours[: case.few]


def test_however_small_the_share_a_loop_has_a_request_more_than_clients() -> None:
    for case in LOOPS:
        assert len(case.trace(0, share=1e-9).requests) == case.clients + 1


def answer(start_s: float, events_s: list[float], *, is_cut: bool = False) -> Answer:
    request = Request(
        id=0, at_s=0.0, adapter=None, prompt_tokens=1, output_tokens=len(events_s)
    )
    return Answer(
        request=request,
        start_s=start_s,
        events_s=events_s,
        tokens=len(events_s),
        error=None,
        is_cut=is_cut,
    )


def test_the_steady_window_of_a_cut_loop_is_from_the_last_first_token_to_the_end() -> (
    None
):
    """The window is (2, 4]: of the whole answers three tokens and two are in it, of the
    part one. The first token of the second answer came 0.5 s after it was asked for."""
    result = Result(
        [answer(0.0, [1.0, 3.0, 3.5, 4.0]), answer(2.5, [3.0, 4.0])],
        [],
        4.0,
        parts=[answer(0.0, [2.0, 3.0], is_cut=True)],
        busy_s=2.0,
    )

    assert result.steady_tokens_per_s() == pytest.approx((3 + 2 + 1) / 2)
    assert result.steady_ttft_p50_ms() == pytest.approx(500)
    assert result.figures()["tokens_per_s"] == pytest.approx(6 / 4)


def test_a_window_in_which_nothing_lies_has_no_figure() -> None:
    result = Result([answer(0.0, [4.0])], [], 4.0, busy_s=4.0)

    assert math.isnan(result.steady_tokens_per_s())
    assert result.figures()["steady_ttft_p50_ms"] is None


class Endless(BaseHTTPRequestHandler):
    """Two tokens an event; who asks for 1,000 gets them for as long as he listens."""

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        asked = json.loads(self.rfile.read(length))["max_tokens"]
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'data: {"choices": []}\n\n' * (asked // 2))
                if asked < 1000:
                    break
            usage = json.dumps({"usage": {"completion_tokens": asked}})
            self.wfile.write(f"data: {usage}\n\ndata: [DONE]\n\n".encode())
        except ConnectionError:
            pass  # the client has gone

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endless() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_cut_loop_ends_when_one_client_has_nothing_more_to_ask(endless: str) -> None:
    """Another's answer would never end. Its tokens are as many an event as others'."""
    short = Request(id=1, at_s=0.0, adapter=None, prompt_tokens=4, output_tokens=8)
    long = replace(short, id=0, output_tokens=1000)
    trace = Trace(0, (long, short, replace(short, id=2)), concurrency=2)

    result = run(endless, trace, cut=True)

    (part,) = result.parts
    assert not result.errors
    assert [a.request.id for a in result.answers] == [1, 2]
    assert part.request.id == 0
    assert part.tokens == 2 * len(part.events_s)
    assert result.busy_s is not None


def test_a_target_is_met_by_the_median_of_the_rounds_ratios() -> None:
    zipf, one = CASES[2].name, CASES[0].name
    speeds: Rounds = defaultdict(lambda: defaultdict(list))
    speeds[zipf].update({"ours": [79.0, 81.0, 85.0], "vllm": [100.0, 100.0, 100.0]})
    speeds[one].update({"ours": [99.0, 99.0, 300.0], "vllm": [100.0, 100.0, 100.0]})
    speeds[zipf]["vllm-lora"] = [40.0, 50.0, 50.0]

    assert targets(speeds) == {
        f"{one}: ours / vllm": False,
        f"{zipf}: ours / vllm": True,
        f"{zipf}: ours / vllm-lora": False,
    }
