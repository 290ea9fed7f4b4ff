"""Folder scan: what adapters' files are like, without reading them.

Only the names that are read are looked at: a training log that grows, or 20,000 files
beside the weights, concern nobody. An error of looking is not an absence: ENOENT alone
is one.
"""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hotswap.adapters.file_names import CONFIG_FILE, TOKENIZER_FILES, WEIGHTS_FILE
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.short_thread import ShortThread, at_disk, in_short_thread

NAMES = (CONFIG_FILE, WEIGHTS_FILE, SIDECAR_FILE, *TOKENIZER_FILES)

_MOST_STUCK = 16
_SILENT = "it does not answer"

# Size, times of content and of inode, and inode of a file, by name
Fingerprint = tuple[tuple[str, int, int, int, int], ...]
Identity = tuple[int, int]  # of a directory: its file system and its inode


@dataclass(slots=True)
class Scan:
    """What one look found. Filled as it goes on, so that what it found before it got
    stuck is known."""

    folders: dict[str, Fingerprint] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)  # those that it could not
    identity: Identity | None = None  # None: there is no such directory
    at: str | None = None  # the folder that is being looked at
    unnamed: int = 0  # whose names are no text
    is_left: bool = False  # nobody waits for it any more


class FolderScanner:
    """Scans one directory. Owned by one thread, which no dead mount holds up."""

    def __init__(self, directory: Path, disk_patience_s: float) -> None:
        """`disk_patience_s`: how long the disk may take to answer."""
        self._directory = directory
        self._disk_patience_s = disk_patience_s
        self._stuck: dict[str | None, ShortThread[None]] = {}  # by folder; None: all

    def scan(self) -> Scan:
        """What is there. Where the disk does not answer it goes on with the rest.

        Raises OSError if nothing can be told of the directory.
        """
        self._stuck = {n: e for n, e in self._stuck.items() if not e.future.done()}
        self._check()
        into = Scan(troubles=dict.fromkeys((n for n in self._stuck if n), _SILENT))
        while True:
            sent = ShortThread(partial(scan, self._directory, into))
            if sent.wait(self._disk_patience_s):
                sent.future.result()
                return into
            into.is_left = True
            at = into.at
            self._stuck[at] = sent
            self._check()
            assert at is not None
            into = Scan(dict(into.folders), {**into.troubles, at: _SILENT})

    def identify(self) -> Identity | None:
        """Which directory the path leads to now. Raises OSError."""
        self._check()
        return in_short_thread(
            partial(identify, self._directory), self._disk_patience_s
        )

    def _check(self) -> None:
        if None in self._stuck or len(self._stuck) >= _MOST_STUCK:
            raise TimeoutError("it does not answer")


def fingerprint_of(folder: Path) -> Fingerprint:
    """Raises OSError."""
    found = []
    for name in NAMES:
        try:
            with at_disk():
                s = os.stat(folder / name)
        except FileNotFoundError:
            continue
        found.append((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino))
    return tuple(found)


def stamp(fingerprint: Fingerprint) -> str:
    return hashlib.sha256(repr(fingerprint).encode()).hexdigest()[:16]


def identify(directory: Path) -> Identity | None:
    """None if there is no such directory. Raises OSError."""
    try:
        with at_disk():
            found = os.stat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def scan(directory: Path, into: Scan) -> None:
    """Look at each folder that `into` does not know yet. Raises OSError if the
    directory itself cannot be looked at."""
    into.at = None
    into.identity = identify(directory)
    if into.identity is None:
        return
    with at_disk():
        names = sorted(os.listdir(directory))
    for name in names:
        if into.is_left:
            return
        if not _is_text(name):  # no answer and no log could tell it
            into.unnamed += 1
            continue
        if name.startswith(".") or name in into.folders or name in into.troubles:
            continue
        into.at = name
        try:
            if _is_folder(directory / name):
                into.folders[name] = fingerprint_of(directory / name)
        except FileNotFoundError:
            continue  # removed just now, or a link that leads nowhere
        except OSError as error:
            into.troubles[name] = error.strerror or "cannot be looked at"
    if identify(directory) != into.identity:  # what was missed may be in the other one
        raise OSError("it was moved while it was looked at")


def _is_text(name: str) -> bool:
    """Not for bytes that are no UTF-8: Python has them as halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_folder(path: Path) -> bool:
    with at_disk():
        return stat.S_ISDIR(os.stat(path).st_mode)
