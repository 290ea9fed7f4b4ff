"""Key file: keys at rest, a line of JSON each.

    {"name": "shop", "sha256": "9f86...", "adapters": ["sql"], "per_minute": 600}

Who reads it cannot ask for anything. Who may write it gives himself a key: so a file
that others than its owner may write is refused.
"""

import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hotswap.errors import StartFailed
from hotswap.keys.access_key import Key
from hotswap.short_thread import at_disk

MOST_KEYS = 1000  # every request is compared with all
_MOST_BYTES = 1 << 20
# No pipe is waited for.
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

Stamp = tuple[int, int, int]
_encoder = msgspec.json.Encoder()


def stamp(path: Path) -> Stamp | None:
    """Another one when the file has changed; None if it cannot be looked at."""
    try:
        with at_disk():
            return _stamp(path.stat())
    except OSError:
        return None


def read(path: Path, *, is_admin: bool) -> tuple[tuple[Key, ...], Stamp]:
    """Its keys, all of the kind that is wanted, and the stamp they were read at.

    Raises StartFailed, which names the line and never tells what stands there.
    """
    try:
        with at_disk():
            handle = os.open(path, os.O_RDONLY | _FLAGS)
        with os.fdopen(handle, "rb") as file, at_disk():
            found = os.fstat(handle)
            _check(found, path)
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise StartFailed(f"keys {path}: {error.strerror}") from None
    return _parsed(raw, path, is_admin), _stamp(found)


def append(path: Path, key: Key) -> None:
    """Add a key; the file is made if it is not there, for its owner alone.

    Raises StartFailed, with nothing changed, for a file that could not be read.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _check(os.fstat(handle), path)
            raw = file.read(_MOST_BYTES + 1)
            begin = b"\n" if raw and not raw.endswith(b"\n") else b""
            line = begin + written(key) + b"\n"
            _parsed(raw + line, path, key.admin)
            os.write(handle, line)  # at once: a reader sees all of it or nothing
            os.fsync(handle)
    except OSError as error:
        raise StartFailed(f"keys {path}: {error.strerror}") from None


def written(key: Key) -> bytes:
    """The line of a key, without what it does not say."""
    said = msgspec.to_builtins(key)
    return _encoder.encode({name: value for name, value in said.items() if value})


def check_apart(keys: Iterable[Key], where: str) -> None:
    """Raises StartFailed if two have a name or a secret in common, or are too many."""
    names: set[str] = set()
    digests: set[str] = set()
    for key in keys:
        if key.name in names:
            raise StartFailed(f"keys {where}: two are called `{key.name}`")
        if key.sha256 in digests:
            raise StartFailed(f"keys {where}: `{key.name}` is there twice")
        names.add(key.name)
        digests.add(key.sha256)
    if len(names) > MOST_KEYS:
        raise StartFailed(f"keys {where}: more than {MOST_KEYS}")


def _parsed(raw: bytes, path: Path, is_admin: bool) -> tuple[Key, ...]:
    if len(raw) > _MOST_BYTES:
        raise StartFailed(f"keys {path}: more than {_MOST_BYTES} bytes")
    keys = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            key = msgspec.json.decode(line, type=Key)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StartFailed(f"keys {path}: line {number}: {error}") from None
        if wrong := _misplaced(key, is_admin):
            raise StartFailed(f"keys {path}: line {number}: {wrong}")
        keys.append(key)
    check_apart(keys, str(path))
    return tuple(keys)


def _misplaced(key: Key, is_admin: bool) -> str:
    """Why the key does not belong into a file of this kind, "" if it does."""
    if key.admin and not is_admin:
        return f"`{key.name}` is an admin key, in a file of API keys"
    if not key.admin and is_admin:
        return f"`{key.name}` is an API key, in a file of admin keys"
    if key.admin and (key.adapters or key.per_minute):
        return f"`{key.name}` is an admin key: `adapters` and `per_minute` mean nothing"
    return ""


def _check(found: os.stat_result, path: Path) -> None:
    """Raises StartFailed."""
    if not stat.S_ISREG(found.st_mode):
        raise StartFailed(f"keys {path}: no regular file")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartFailed(
            f"keys {path}: others may write it, and give themselves keys: chmod 600"
        )


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino
