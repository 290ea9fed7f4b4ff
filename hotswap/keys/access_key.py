"""Access key: one key of this server: the hash of its secret, and what it may ask for.

A secret is 256 random bits. Its SHA-256 is all that is kept: with so many bits nobody
finds it by trying, however fast the hash, so none of the slow ones for passwords is
needed, which every request would have to wait for. One that a person has chosen comes
in by the environment only, and its hash never leaves the memory.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

LEAST_CHARACTERS = 16  # of one that a person has chosen
MOST_CHARACTERS = 256
SECRET = re.compile(r"[\x21-\x7e]+")  # what a header can say in one word
_BYTES = 32

KeyName = Annotated[str, Meta(pattern=r"^[\w.@-]{1,64}$")]
PerMinute = Annotated[int, Meta(ge=1, le=1_000_000)]


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`admin`: it may ask for everything. Of others, `adapters`: own names of the only
    ones it may ask for, None is any; `per_minute`: requests. `sha256`: of its secret,
    in hexadecimal digits. `created`: when, for people."""

    name: KeyName
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    admin: bool = False
    adapters: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    per_minute: PerMinute | None = None
    created: str = ""


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def made(
    name: str | None,
    *,
    is_admin: bool = False,
    adapters: tuple[str, ...] | None = None,
    per_minute: int | None = None,
) -> tuple[Key, str]:
    """A new key and its secret, which is nowhere else. What it begins with is what
    people and scanners of repositories know it by."""
    kind = "hotswap-admin-" if is_admin else "hotswap-"
    secret = kind + secrets.token_urlsafe(_BYTES)
    digest = sha256(secret)
    key = Key(
        name=name or f"key-{digest[:8]}",
        sha256=digest,
        admin=is_admin,
        adapters=adapters,
        per_minute=per_minute,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return key, secret
