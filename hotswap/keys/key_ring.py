"""Key ring: all keys that hold now, and who shows one.

Keys come from files, which are read again when they change, and from the environment.
A file that has become unreadable changes nothing: the keys of before hold, and
`trouble` says so. A server that was told where its keys are asks for one for ever, also
if the last line is deleted.
"""

import hmac
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hotswap.errors import StartFailed
from hotswap.keys import key_file
from hotswap.keys.access_key import (
    LEAST_CHARACTERS,
    MOST_CHARACTERS,
    SECRET,
    Key,
    sha256,
)
from hotswap.keys.rate import Rate

log = logging.getLogger(__name__)

# Of the environment, and whether their keys may do everything.
VARIABLES = {"HOTSWAP_API_KEYS": False, "HOTSWAP_ADMIN_KEYS": True}
_BETWEEN = re.compile(r"[,\s]+")


class KeyRing:
    """`find` and `wait_s` on the event loop; `look` on one thread at a time."""

    def __init__(
        self,
        *,
        api_keys: str = "",
        admin_keys: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`api_keys`, `admin_keys`: paths of files; "" is none. Raises StartFailed."""
        files = {api_keys: False, admin_keys: True}
        self._files = {Path(path): kind for path, kind in files.items() if path}
        if api_keys and api_keys == admin_keys:
            raise StartFailed(f"keys {api_keys}: one file cannot be of both kinds")
        self._fixed = _from_environment(environment)
        self._stamps: dict[Path, key_file.Stamp | None] = {}
        self._keys = self._read()
        self._rates: dict[str, Rate] = {}  # by hash
        self.trouble: tuple[str, ...] = ()

    @property
    def is_locked(self) -> bool:
        """Whether a key is asked for at all."""
        return bool(self._files or self._fixed)

    @property
    def has_admin(self) -> bool:
        return any(key.admin for key in self._keys)

    @property
    def has_files(self) -> bool:
        """Whether there is something to look at."""
        return bool(self._files)

    def find(self, secret: str) -> Key | None:
        """Whose it is. It takes the same time whoever's it is, and if it is nobody's:
        all are compared, each in constant time."""
        shown, found = sha256(secret), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, shown):
                found = key
        return found

    def wait_s(self, key: Key, now_s: float) -> float:
        """0 if the key may ask now, which is counted; else in how many seconds."""
        if key.per_minute is None:
            return 0.0
        rate = self._rates.get(key.sha256)
        if rate is None or rate.per_minute != key.per_minute:
            rate = self._rates[key.sha256] = Rate(key.per_minute, now_s)
        return rate.take(now_s)

    def look(self) -> None:
        """Read again what has changed."""
        stamps = {path: key_file.stamp(path) for path in self._files}
        if stamps == self._stamps:
            return
        try:
            self._keys = self._read()
        except StartFailed as error:
            self._stamps = stamps  # not again until it changes
            self.trouble = ("the files of keys: one cannot be read, see the log",)
            log.error("%s; the keys of before hold", error)
            return
        self.trouble = ()
        log.info("keys read again keys=%d", len(self._keys))

    def _read(self) -> tuple[Key, ...]:
        keys, stamps = [*self._fixed], {}
        for path, is_admin in self._files.items():
            found, stamps[path] = key_file.read(path, is_admin=is_admin)
            keys += found
        key_file.check_apart(keys, ", ".join([*map(str, self._files), "environment"]))
        self._stamps = dict(stamps)
        return tuple(keys)


def _from_environment(environment: Mapping[str, str]) -> list[Key]:
    """Raises StartFailed, which never tells a key."""
    keys = []
    for variable, is_admin in VARIABLES.items():
        if variable not in environment:
            continue
        secrets = [one for one in _BETWEEN.split(environment[variable]) if one]
        if not secrets:
            raise StartFailed(f"environment {variable}: it is set, and has no key")
        for number, secret in enumerate(secrets, 1):
            name = f"{variable}-{number}"
            if not LEAST_CHARACTERS <= len(secret) <= MOST_CHARACTERS:
                raise StartFailed(
                    f"environment {variable}: key {number} has {len(secret)} characters"
                    f", not {LEAST_CHARACTERS} to {MOST_CHARACTERS}"
                )
            if not SECRET.fullmatch(secret):
                raise StartFailed(
                    f"environment {variable}: key {number} has other characters than "
                    "visible ASCII"
                )
            keys.append(Key(name=name, sha256=sha256(secret), admin=is_admin))
    return keys


# It has no keys and asks for none.
NONE = KeyRing()
