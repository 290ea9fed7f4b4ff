"""Key command: `hotswap key new`: the hash into a file, the key to whoever asked."""

import argparse
import re
import sys
from pathlib import Path

from hotswap.keys import key_file
from hotswap.keys.access_key import made

_RATE = re.compile(r"([1-9][0-9]{0,6})/min")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command `key` with its own `new`."""
    key = commands.add_parser("key", help="make keys of a server")
    new = key.add_subparsers(required=True).add_parser(
        "new",
        help="add a key to a file",
        description="Add a key to a file, which gets its hash alone, and print the "
        "key: it cannot be told again.",
    )
    new.add_argument(
        "--file",
        type=Path,
        required=True,
        metavar="FILE",
        help="what `api_keys` or `admin_keys` under [server] names; made if need be",
    )
    new.add_argument("--admin", action="store_true", help="may ask for everything")
    new.add_argument("--name", metavar="NAME", help="by which logs tell it")
    new.add_argument(
        "--adapters",
        type=_names,
        metavar="A,B",
        help="the only ones it may ask for; `base` is the bare model",
    )
    new.add_argument("--rate", type=_per_minute, metavar="N/min", help="of requests")
    new.set_defaults(run=_new)


def _new(args: argparse.Namespace) -> int:
    """Raises StartFailed, with the file as it was."""
    key, secret = made(
        args.name, is_admin=args.admin, adapters=args.adapters, per_minute=args.rate
    )
    key_file.append(args.file, key)
    print(secret)
    print(f"hotswap: {args.file} has `{key.name}`; the key itself is kept nowhere: "
          "note it now", file=sys.stderr)  # fmt: skip
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}: names with commas between them")
    return names


def _per_minute(text: str) -> int:
    found = _RATE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: so many a minute, as 60/min")
    return int(found[1])
