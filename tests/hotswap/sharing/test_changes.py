"""A change that one server is told is made by all that share the directory, or by none
of them in silence."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotswap.errors import StartFailed
from hotswap.library.journal import JOURNAL_FILE
from hotswap.library.lock import locked, try_lock
from hotswap.sharing import follower
from hotswap.sharing.members import FOLDER
from tests.hotswap.sharing.crew import Crew, make
from tests.servers import wait_until


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with Crew(tmp_path) as crew:
        make(crew.stock / "a", "one")
        make(crew.stock / "b", "two")
        make(crew.stock / "c", "three")
        yield crew


def test_what_one_server_registers_all_serve_when_it_answers(crew: Crew) -> None:
    for turn in range(20):
        name = f"n{turn}"
        assert crew.load(turn % 2, name, "ab"[turn % 2]).status_code == 200
        (generation,) = crew.generations(name)

        assert len(generation) == 16, generation


def test_what_one_server_removes_none_serves_when_it_answers(crew: Crew) -> None:
    crew.load(0, "n", "a")

    gone = crew.clients[1].post("/v1/unload_lora_adapter", json={"lora_name": "n"})

    assert gone.status_code == 200
    assert crew.generations("n") == {"404"}


def test_files_replaced_under_the_same_source_are_read_again_by_all(crew: Crew) -> None:
    crew.load(0, "n", "a")
    (before,) = crew.generations("n")
    make(crew.stock / "a", "other")

    assert crew.load(1, "n", "a", load_inplace=True).status_code == 200

    (after,) = crew.generations("n")
    assert after != before


def test_an_expected_generation_is_compared_with_what_any_server_did(
    crew: Crew,
) -> None:
    crew.load(0, "n", "a")
    (first,) = crew.generations("n")
    asked = {"load_inplace": True, "expected_generation": first}

    assert crew.load(1, "n", "b", **asked).status_code == 200
    late = crew.load(0, "n", "a", **asked)

    assert late.status_code == 409
    (second,) = crew.generations("n")
    assert second in late.text


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers look at the files when they are asked to, not by themselves."""
    monkeypatch.setattr(follower, "_EVERY_S", 60.0)


def test_a_change_is_compared_with_what_another_has_noted_just_now(
    idle: None, crew: Crew
) -> None:
    """A server that has registered and died has told nobody but the journal."""
    note = {"origin": {"src": str(crew.stock / "a")}, "change": "other"}
    (crew.directory / JOURNAL_FILE).write_text(json.dumps({"n": note}))

    answer = crew.load(0, "n", "b", load_inplace=True, expected_generation="")

    assert answer.status_code == 409
    assert len(crew.generations("n") - {"404", "503"}) == 1  # not read yet, perhaps


def test_of_two_changes_that_expect_the_same_one_is_made(crew: Crew) -> None:
    """Asked of two servers at once."""
    crew.load(0, "n", "a")
    (first,) = crew.generations("n")
    asked = {"load_inplace": True, "expected_generation": first}
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda n: crew.load(n, "n", "bc"[n], **asked), (0, 1))
        codes = sorted(answer.status_code for answer in answers)

    assert codes == [200, 409]
    assert len(crew.generations("n")) == 1


def test_pins_and_sums_reach_all(crew: Crew) -> None:
    crew.load(0, "n", "a")
    crew.load(0, "m", "b")

    pinned = crew.clients[1].post("/v1/adapters/n/pin")
    body = {"name": "both", "composition": "n+m"}
    summed = crew.clients[0].post("/v1/adapters", json=body)

    assert (pinned.status_code, summed.status_code) == (200, 200), summed.text
    assert [row["pinned"] for row in crew.rows("n")] == [True, True]
    assert len({row["composition"] for row in crew.rows("both")}) == 1
    assert [row["state"] for row in crew.rows("both")] == ["ready", "ready"]


def test_endpoints_reach_all_and_go_from_all_with_their_adapter(crew: Crew) -> None:
    asked = {"template": "adapter", "adapter": "n", "url": str(crew.stock / "a")}
    assert crew.clients[0].post("/workflows", params=asked).status_code == 200

    body = {"inputs": "Hello"}
    answers = [c.post("/predictions/n", json=body) for c in crew.clients]
    assert [a.headers.get("x-hotswap-adapter") for a in answers] == ["n", "n"]

    assert crew.clients[1].delete("/workflows/n").status_code == 200
    answers = [c.post("/predictions/n", json=body) for c in crew.clients]
    assert [a.status_code for a in answers] == [404, 404]
    assert crew.generations("n") == {"404"}


def test_a_watched_folder_that_one_server_unregisters_stays_away_from_all(
    crew: Crew,
) -> None:
    make(crew.directory / "dropped", "one")
    wait_until(lambda: crew.generations("dropped").isdisjoint({"404", "503"}))
    crew.clients[0].post("/v1/adapters/dropped/pin")
    assert [row["pinned"] for row in crew.rows("dropped")] == [True, True]

    crew.clients[1].delete("/v1/adapters/dropped")
    crew.join()

    assert crew.generations("dropped") == {"404"}


def test_a_server_that_joins_has_all_that_was_registered(crew: Crew) -> None:
    crew.load(0, "n", "a")
    crew.load(1, "m", "b")

    crew.join()

    assert len(crew.generations("n") | crew.generations("m")) == 2


def test_nobody_waits_for_a_server_that_has_gone(crew: Crew) -> None:
    """Neither for one that has left nor for one that was killed: whose lock is free."""
    crew.join()
    crew.leave(2)
    (crew.directory / FOLDER / "killed.lock").touch()

    assert crew.load(0, "n", "a").status_code == 200
    assert not (crew.directory / FOLDER / "killed.lock").exists()


def test_a_server_that_does_not_follow_is_named_in_an_error(crew: Crew) -> None:
    crew.sharing[1].patience_s = 0.3
    handle = try_lock(crew.directory / FOLDER / "hanging.lock", creates=True)
    assert handle is not None

    answer = crew.load(1, "n", "a")
    os.close(handle)

    assert answer.status_code == 503
    assert "hanging" in answer.text
    (generation,) = crew.generations("n")
    assert len(generation) == 16  # it is done all the same


def test_a_server_that_refuses_the_files_is_named_with_the_reason(crew: Crew) -> None:
    crew.join(roots=[])

    answer = crew.load(0, "n", "a")

    assert answer.status_code == 503
    assert "lies outside" in answer.text
    assert len(crew.generations("n") - {"404", "503"}) == 1  # not read yet, perhaps


def test_a_change_waits_for_its_turn_and_no_longer(crew: Crew) -> None:
    crew.sharing[0].patience_s = 0.3
    handle = try_lock(crew.directory / FOLDER / "change", creates=True)
    assert handle is not None

    answer = crew.load(0, "n", "a")
    os.close(handle)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert crew.generations("n") == {"404"}
    assert crew.load(0, "n", "a").status_code == 200


def test_servers_that_share_a_directory_keep_out_one_that_does_not(
    tmp_path: Path,
) -> None:
    with (
        locked(tmp_path, is_shared=True),
        locked(tmp_path, is_shared=True),
        pytest.raises(StartFailed, match="another server"),
        locked(tmp_path),
    ):
        pass
    with (
        locked(tmp_path),
        pytest.raises(StartFailed, match="does not share it"),
        locked(tmp_path, is_shared=True),
    ):
        pass
