"""The event stream tells what happens to adapters and weights, and begins with all."""

import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from tests import tiny
from tests.servers import Live, settings, wait_until


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    tiny.save_adapter(root / "one", "llama", 1, r=2)
    return root


@pytest.fixture(scope="module")
def server(model_folder: Path, directory: Path) -> Iterator[Live]:
    configured = settings(model_folder, directory, policy="fcfs-merged")
    with Live(app.build(configured)) as server:
        url = f"{server.url}/v1/adapters/one"
        wait_until(lambda: httpx.get(url).status_code == 200)
        yield server


def read(
    lines: Iterator[str], kinds: Sequence[str] = ("adapter", "resident")
) -> tuple[str, dict[str, Any]]:
    """The next event of these kinds, and its data."""
    named = (line.removeprefix("event: ") for line in lines if line[:5] == "event")
    kind = next(kind for kind in named if kind in kinds)
    data = next(lines)
    assert data.startswith("data: ")
    return kind, json.loads(data.removeprefix("data: "))


def test_it_begins_with_what_is_and_goes_on_with_what_happens(
    server: Live, directory: Path
) -> None:
    with (
        server.client() as client,
        client.stream("GET", "/v1/events") as stream,
    ):
        lines = stream.iter_lines()
        first, resident = read(lines), read(lines)

        listed = client.get("/v1/adapters/one").json()
        shutil.copytree(directory / "one", directory / "two")
        added = read(lines)
        if added[1]["state"] == "loading":  # unless it was read within a look
            added = read(lines)
        body = {"prompt": "Hello", "adapter": "one", "max_tokens": 2}
        asked = client.post("/v1/completions", json=body)
        swapped = read(lines)
        shutil.rmtree(directory / "two")
        removed = read(lines)

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert first == ("adapter", listed)
    assert resident[0] == "resident"
    assert resident[1]["generation"] == "base"
    assert (added[0], added[1]["name"], added[1]["state"]) == (
        "adapter",
        "two",
        "ready",
    )
    assert swapped == (
        "resident",
        {
            "generation": asked.headers["x-hotswap-generation"],
            "adapters": ["one", "two"],
            "warm_swaps": 0,
            "cold_swaps": 1,
        },
    )
    assert removed == ("adapter", {"name": "two", "state": "removed"})


def test_turns_and_a_pulse_tell_what_the_machine_does(server: Live) -> None:
    with (
        server.client() as client,
        client.stream("GET", "/v1/events") as stream,
    ):
        lines = stream.iter_lines()
        before = read(lines, ["pulse"])[1]
        for adapter in ("one", "", "one"):
            body = {"prompt": "Hello", "adapter": adapter, "max_tokens": 2}
            client.post("/v1/completions", json=body)
        status = client.get("/v1/status").json()
        told, pulses = until_turn(lines, status["turns"][-1]["number"])

    pulse, last = pulses[-1], told[-1]
    first = before["turn"]["number"] if before["turn"] else 1
    told = [turn for turn in told if turn["number"] >= first]
    assert [turn["number"] for turn in told] == list(range(first, last["number"] + 1))
    # A machine that pauses between two steps begins a turn anew.
    names = [adapters for adapters, _ in groupby(turn["adapters"] for turn in told)]
    assert names == [["one"], ["base"], ["one"]]
    assert all(turn["mode"] == "merged" and turn["why"] for turn in told)
    assert status["turns"][-len(told) :] == told
    assert before["generated_tokens_per_s"] is None
    assert max(pulse["generated_tokens_per_s"] for pulse in pulses) > 0
    assert pulse["latencies"]["first_token_s"]["p50"] > 0
    held = {slot["generation"]: slot["adapters"] for slot in pulse["held"]}
    assert held["base"] == ["base"]
    assert held[last["generation"]] == ["one"]
    assert before["now_s"] < last["begun_s"] < pulse["now_s"]


def until_turn(
    lines: Iterator[str], number: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The turns told until a pulse tells of this one as the last, that one among them,
    and the pulses."""
    turns: list[dict[str, Any]] = []
    pulses: list[dict[str, Any]] = []
    while not pulses or (pulses[-1]["turn"] or {"number": 0})["number"] < number:
        kind, data = read(lines, ["turn", "pulse"])
        (turns if kind == "turn" else pulses).append(data)
    return [*turns, pulses[-1]["turn"]], pulses


def test_who_comes_later_is_told_of_the_turns_before(server: Live) -> None:
    with (
        server.client() as client,
        client.stream("GET", "/v1/events") as stream,
    ):
        turn = read(stream.iter_lines(), ["turn"])[1]

    assert turn["number"] == 1


def test_it_ends_when_the_server_stops(model_folder: Path, directory: Path) -> None:
    built = app.build(settings(model_folder, directory))
    with (
        Live(built) as server,
        httpx.stream("GET", f"{server.url}/v1/events", timeout=60) as stream,
    ):
        lines = stream.iter_lines()
        read(lines)

        built.state.drain()

        assert "event: resident" in list(lines)
