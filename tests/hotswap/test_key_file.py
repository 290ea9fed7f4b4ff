"""Keys at rest: what is written, what is refused, and that no key is ever told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.errors import StartFailed
from hotswap.keys import key_file
from hotswap.keys.access_key import Key, made, sha256


def line(**fields: object) -> str:
    return json.dumps({"name": "a", "sha256": sha256("a"), **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_a_key_is_256_random_bits_and_only_its_hash_is_written(path: Path) -> None:
    key, secret = made("shop", adapters=("sql",), per_minute=60)
    other, another = made(None, is_admin=True)

    key_file.append(path, key)

    assert len(secret.removeprefix("hotswap-")) == 43  # of 6 bits each
    assert another.startswith("hotswap-admin-")
    assert other.name == f"key-{other.sha256[:8]}"
    assert secret not in path.read_text()
    assert json.loads(path.read_text()) == {
        "name": "shop",
        "sha256": sha256(secret),
        "adapters": ["sql"],
        "per_minute": 60,
        "created": key.created,
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_file.read(path, is_admin=False)[0] == (key,)


def test_keys_are_added_behind_each_other_also_to_a_line_without_an_end(
    path: Path,
) -> None:
    path.write_text("\n" + line(name="first"))
    path.chmod(0o600)

    for name in ("second", "third"):
        key_file.append(path, made(name)[0])

    names = [key.name for key in key_file.read(path, is_admin=False)[0]]
    assert names == ["first", "second", "third"]


BROKEN = {
    "no JSON": ("hotswap-secret", "line 1"),
    "a list": ("[]", "line 1"),
    "an unknown field": (line(admim=True), "admim"),
    "no hash": ('{"name": "a"}', "sha256"),
    "a key in place of its hash": (line(sha256="hotswap-secret"), "sha256"),
    "a hash in capitals": (line(sha256=sha256("a").upper()), "sha256"),
    "a name that logs cannot tell": (line(name="a\nb"), "name"),
    "no name": (line(name=""), "name"),
    "no adapters at all": (line(adapters=[]), "adapters"),
    "a rate of none": (line(per_minute=0), "per_minute"),
    "a rate of half": (line(per_minute=0.5), "per_minute"),
    "an admin key among API keys": (line(admin=True), "an admin key"),
    "a name twice": (line() + "\n" + line(sha256=sha256("b")), "called `a`"),
    "a key twice": (line() + "\n" + line(name="b"), "`b` is there twice"),
    "bytes that are no text": ("\udcff", "line 1"),
    "a second line": (line() + "\n{", "line 2"),
    "too many": (
        "\n".join(line(name=f"k{n}", sha256=sha256(str(n))) for n in range(1001)),
        "more than 1000",
    ),
    "too much": (" " * (1 << 20) + line(), "bytes"),
}


@pytest.mark.parametrize(("text", "named"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_no_key_is_refused_in_one_line_that_tells_no_key(
    text: str, named: str, path: Path
) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)

    with pytest.raises(StartFailed, match=named) as failed:
        key_file.read(path, is_admin=False)
    with pytest.raises(StartFailed):
        key_file.append(path, made("new")[0])

    assert str(path) in str(failed.value)
    assert "\n" not in str(failed.value)
    assert "secret" not in str(failed.value)
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_file_is_of_one_kind(path: Path) -> None:
    key_file.append(path, made("boss", is_admin=True)[0])

    assert key_file.read(path, is_admin=True)[0][0].admin
    with pytest.raises(StartFailed, match="`boss` is an admin key"):
        key_file.read(path, is_admin=False)
    path.write_text(line(name="shop"))
    with pytest.raises(StartFailed, match="`shop` is an API key"):
        key_file.read(path, is_admin=True)


def test_an_admin_key_cannot_be_limited(path: Path) -> None:
    for limit in ({"adapters": ("a",)}, {"per_minute": 1}):
        key = Key(name="a", sha256=sha256("a"), admin=True, **limit)
        with pytest.raises(StartFailed, match="mean nothing"):
            key_file.append(path, key)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(mode: int, path: Path) -> None:
    path.write_text(line())
    path.chmod(mode)

    with pytest.raises(StartFailed, match="others may write it"):
        key_file.read(path, is_admin=False)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_a_file_that_others_may_only_read_is_none_to_worry_about(
    mode: int, path: Path
) -> None:
    path.write_text(line())
    path.chmod(mode)

    assert len(key_file.read(path, is_admin=False)[0]) == 1


def test_what_is_no_file_is_not_waited_for(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)

    with pytest.raises(StartFailed, match="no regular file"):
        key_file.read(path, is_admin=False)
    for wrong in (tmp_path, path / "x"):
        with pytest.raises(StartFailed, match=str(wrong)):
            key_file.read(wrong, is_admin=False)
    assert key_file.stamp(path / "x") is None


def test_several_commands_at_once_lose_no_key(path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from hotswap.keys import key_file\nfrom hotswap.keys.access_key import made\n"
        "for n in range(20):\n"
        " key_file.append(Path(sys.argv[1]), made(f'{sys.argv[2]}-{n}')[0])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)])
        for number in range(3)
    ]

    assert [each.wait(60) for each in running] == [0, 0, 0]
    assert len(key_file.read(path, is_admin=False)[0]) == 60
