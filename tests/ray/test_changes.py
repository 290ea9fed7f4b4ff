"""Replicas die, come, go and are replaced under load: nobody else sees anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.crew import GENERATION, Crew
from tests.ray.load import Load, completed, streamed
from tests.servers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CUT = "has ended before it was done"
NAMES = ("a0", "a1", "a2")


@pytest.fixture(scope="module", autouse=True)
def stocked(crew: Crew, adapter_folders: Path) -> None:
    for name in NAMES:
        assert crew.load(name, adapter_folders / name).status_code == 200


@pytest.fixture(autouse=True)
def two(crew: Crew) -> Iterator[None]:
    """Replicas at the end of each test, as at its beginning."""
    yield
    crew.deploy()


def generations(crew: Crew, name: str) -> set[str | None]:
    rows = [crew.on(each, f"/v1/adapters/{name}").json() for each in crew.replicas()]
    return {row.get("generation") for row in rows}


def test_who_is_not_on_a_replica_that_is_killed_sees_nothing_of_it(crew: Crew) -> None:
    killed = crew.replicas()[0]
    quick = Load(crew, lambda client, n: completed(client, NAMES[n % 3]), threads=2)
    streams = Load(crew, lambda client, n: streamed(client, NAMES[n % 3], 400))
    with quick, streams:
        wait_until(lambda: crew.on(killed, "/v1/status").json()["live"] > 1)
        crew.kill(killed)
        done = len(quick.answers), len(streams.answers)
        wait_until(lambda: len(quick.answers) > done[0] + 50, limit_s=60)
        wait_until(lambda: len(streams.answers) > done[1] + 8, limit_s=60)

    assert not quick.errors + streams.errors
    cut = [a for a in streams.answers if not a.is_whole and a.code == 200]
    assert cut
    assert {answer.replica for answer in cut} == {killed}
    assert all(CUT in answer.text for answer in cut)
    refused = [a for a in quick.answers + streams.answers if a.code != 200]
    assert all(a.code == 503 and CUT in a.text for a in refused)
    assert len(cut) + len(refused) <= 6  # one for each client at most


def test_an_adapter_is_replaced_on_all_replicas_when_the_answer_comes(
    crew: Crew, adapter_folders: Path
) -> None:
    """`expected_generation` holds whichever replica is asked."""
    (before,) = generations(crew, "a0")
    asked = {"load_inplace": True, "expected_generation": before}

    answer = crew.load("a0", adapter_folders / "a3", **asked)

    assert answer.status_code == 200
    (after,) = generations(crew, "a0")
    assert after != before
    assert crew.complete("a0").headers[GENERATION] == after
    assert crew.load("a0", adapter_folders / "a0", **asked).status_code == 409
    back = crew.load("a0", adapter_folders / "a0", load_inplace=True)
    assert back.status_code == 200
    assert generations(crew, "a0") == {before}


def test_a_rolling_update_loses_nothing(crew: Crew) -> None:
    before = crew.replicas()
    quick = Load(crew, lambda client, n: completed(client, NAMES[n % 3]), threads=1)
    streams = Load(
        crew, lambda client, n: streamed(client, NAMES[n % 3], 300), threads=2
    )
    with quick, streams:
        wait_until(lambda: bool(streams.answers))
        crew.deploy(schedule={"patience_s": 0.9})
        assert not set(before) & set(crew.replicas())
        done = len(streams.answers)
        wait_until(lambda: len(streams.answers) > done + 2, limit_s=60)

    assert not quick.errors + streams.errors
    answers = quick.answers + streams.answers
    assert {answer.code for answer in answers} == {200}
    assert all(answer.is_whole for answer in answers)
    assert {answer.replica for answer in answers} > set(before)


def test_replicas_come_and_go_while_streams_run(crew: Crew) -> None:
    """One that comes has all adapters at once; one that goes ends its streams first."""
    before = crew.replicas()
    streams = Load(
        crew, lambda client, n: streamed(client, NAMES[n % 3], 200), threads=3
    )
    with streams:
        crew.deploy(replicas=3)
        (new,) = set(crew.replicas()) - set(before)
        rows = [crew.on(new, f"/v1/adapters/{name}").json() for name in NAMES]
        crew.deploy(replicas=1)
        done = len(streams.answers)
        wait_until(lambda: len(streams.answers) > done + 3, limit_s=60)

    assert [row["state"] for row in rows] == ["ready"] * 3
    assert not streams.errors
    assert {(answer.code, answer.is_whole) for answer in streams.answers} == {
        (200, True)
    }


def test_serves_controller_may_die(crew: Crew, adapter_folders: Path) -> None:
    """Ray starts it again; requests and changes of adapters pass it by."""
    quick = Load(crew, lambda client, n: completed(client, NAMES[n % 3]), threads=1)
    with quick:
        wait_until(lambda: len(quick.answers) > 10)
        crew.kill_controller()
        changed = crew.load("a0", adapter_folders / "a0", load_inplace=True)
        done = len(quick.answers)
        wait_until(lambda: len(quick.answers) > done + 100, limit_s=60)

    assert changed.status_code == 200
    assert not quick.errors
    assert {answer.code for answer in quick.answers} == {200}
