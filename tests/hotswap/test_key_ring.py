"""Who shows a key: by all keys that hold now, whatever becomes of their files."""

import hmac
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.errors import StartFailed
from hotswap.keys import key_file
from hotswap.keys.access_key import Key, made
from hotswap.keys.key_ring import NONE, KeyRing
from hotswap.keys.rate import Rate

CHOSEN = "correct-horse-battery"


@pytest.fixture
def api(tmp_path: Path) -> Path:
    return tmp_path / "api.jsonl"


def added(path: Path, name: str, **limits: object) -> str:
    """The secret of a key that is new in the file."""
    key, secret = made(name, **limits)  # type: ignore[arg-type]
    key_file.append(path, key)
    return secret


def name_of(ring: KeyRing, secret: str) -> str | None:
    key = ring.find(secret)
    return key.name if key else None


def test_without_keys_none_is_asked_for() -> None:
    assert not NONE.is_locked
    assert not NONE.has_admin
    assert NONE.find("anything") is None


def test_keys_of_files_and_environment_open_each_as_what_it_is(
    api: Path, tmp_path: Path
) -> None:
    admin = tmp_path / "admin.jsonl"
    shop, boss = added(api, "shop"), added(admin, "boss", is_admin=True)

    ring = KeyRing(
        api_keys=str(api),
        admin_keys=str(admin),
        environment={
            "HOTSWAP_API_KEYS": f"{CHOSEN}-1, {CHOSEN}-2\n",
            "HOTSWAP_ADMIN_KEYS": f"{CHOSEN}-3",
        },
    )

    found = {s: ring.find(s) for s in (shop, boss, *(f"{CHOSEN}-{n}" for n in "123"))}
    assert [(key.name, key.admin) for key in found.values() if key] == [
        ("shop", False),
        ("boss", True),
        ("HOTSWAP_API_KEYS-1", False),
        ("HOTSWAP_API_KEYS-2", False),
        ("HOTSWAP_ADMIN_KEYS-1", True),
    ]
    for wrong in ("", shop[:-1], shop + "x", shop.upper(), f" {shop}", CHOSEN):
        assert ring.find(wrong) is None


def test_every_key_is_compared_whoever_asks(
    api: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [added(api, f"k{n}") for n in range(5)]
    ring = KeyRing(api_keys=str(api))
    compared: list[int] = []

    def counting(one: str, other: str) -> bool:
        compared[-1] += 1
        return real(one, other)

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", counting)
    for shown in (secrets[0], secrets[-1], "nobody's", ""):
        compared.append(0)
        ring.find(shown)

    assert compared == [5] * 4


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HOTSWAP_API_KEYS": "short"}, "5 characters"),
        ({"HOTSWAP_ADMIN_KEYS": "x" * 257}, "257 characters"),
        ({"HOTSWAP_API_KEYS": " , "}, "no key"),
        ({"HOTSWAP_ADMIN_KEYS": ""}, "no key"),
        ({"HOTSWAP_API_KEYS": "sesame-öffne-dich-bitte"}, "visible ASCII"),
        ({"HOTSWAP_API_KEYS": CHOSEN, "HOTSWAP_ADMIN_KEYS": CHOSEN}, "there twice"),
        ({"HOTSWAP_API_KEYS": f"{CHOSEN} {CHOSEN}"}, "there twice"),
    ],
)
def test_a_variable_that_holds_no_good_key_ends_the_start_and_tells_none(
    environment: dict[str, str], why: str
) -> None:
    with pytest.raises(StartFailed, match=why) as failed:
        KeyRing(environment=environment)

    for text in environment.values():
        assert len(text) < 3 or text not in str(failed.value)


def test_one_file_cannot_be_of_both_kinds(api: Path) -> None:
    added(api, "shop")

    with pytest.raises(StartFailed, match="both kinds"):
        KeyRing(api_keys=str(api), admin_keys=str(api))


def test_keys_rotate_without_a_start(api: Path) -> None:
    old = added(api, "2025")
    ring = KeyRing(api_keys=str(api))

    new = added(api, "2026")
    ring.look()
    assert (name_of(ring, old), name_of(ring, new)) == ("2025", "2026")

    api.write_text(api.read_text().splitlines()[1])
    ring.look()
    assert (name_of(ring, old), name_of(ring, new)) == (None, "2026")

    api.write_text("")
    ring.look()
    assert name_of(ring, new) is None
    assert ring.is_locked, "a server without a key left is no open one"
    assert not ring.trouble


def test_a_file_that_is_broken_or_gone_changes_no_key_and_is_told_once(
    api: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = added(api, "shop")
    good = api.read_bytes()
    ring = KeyRing(api_keys=str(api))

    for spoil in (
        lambda: api.write_bytes(good + b"{broken"),
        lambda: api.chmod(0o666),
        api.unlink,
    ):
        caplog.clear()
        spoil()
        with caplog.at_level(logging.ERROR):
            ring.look()
            ring.look()

        assert name_of(ring, secret) == "shop"
        (line,) = ring.trouble
        assert str(api) not in line, "health is open to everybody"
        said = [record.getMessage() for record in caplog.records]
        assert len(said) <= 1, "until it changes again"
        assert secret not in "".join(said)

    api.write_bytes(good)
    api.chmod(0o600)
    ring.look()
    assert name_of(ring, secret) == "shop"
    assert not ring.trouble


def test_a_change_within_one_tick_of_the_clock_is_seen_by_size_or_inode(
    api: Path, tmp_path: Path
) -> None:
    added(api, "first")
    ring = KeyRing(api_keys=str(api))
    before = api.stat()

    second = added(tmp_path / "other.jsonl", "other")
    os.utime(tmp_path / "other.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "other.jsonl").replace(api)
    ring.look()

    assert name_of(ring, second) == "other"


def test_a_key_with_a_rate_asks_so_often_also_after_its_file_was_read_again(
    api: Path,
) -> None:
    secret = added(api, "shop", per_minute=3)
    added(api, "free")
    ring = KeyRing(api_keys=str(api))
    shop = ring.find(secret)
    assert shop is not None

    waits = [ring.wait_s(shop, now) for now in (0, 0, 0, 0, 5, 20, 20)]
    added(api, "another")
    ring.look()
    again = ring.find(secret)
    assert again is not None

    assert waits == [0, 0, 0, 20, pytest.approx(15), 0, 20]
    assert ring.wait_s(again, 20) == 20
    free = Key(name="free", sha256="")
    assert {ring.wait_s(free, 0) for _ in range(1000)} == {0}


@given(
    st.integers(1, 1000),
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
)
def test_in_no_stretch_of_time_does_a_rate_let_more_pass_than_it_says(
    per_minute: int, pauses: list[float]
) -> None:
    rate, now, passed = Rate(per_minute, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        wait_s = rate.take(now)
        if wait_s == 0:
            passed.append(now)
        else:
            now += wait_s * (1 + 1e-9) + 1e-9
            assert rate.take(now) == 0, "it said so"
            passed.append(now)

    for place, first in enumerate(passed):
        for count, last in enumerate(passed[place:], 1):
            assert count <= per_minute + (last - first) * per_minute / 60 + 1e-3
