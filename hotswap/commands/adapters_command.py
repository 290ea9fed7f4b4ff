"""`hotswap adapters`: list, load, unload, pin and unpin those of a running server."""

import argparse
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from hotswap.commands.remote import Remote, add_flags
from hotswap.commands.table import table
from hotswap.errors import CommandFailed

# By action: what stands behind it
_NEEDS = {
    "list": (),
    "load": ("NAME", "FOLDER"),
    "unload": ("NAME",),
    "pin": ("NAME",),
    "unpin": ("NAME",),
}
_TITLES = ("name", "state", "generation", "rank", "steps", "where", "requests", "note")


def add_to(commands: Any) -> None:
    adapters = commands.add_parser(
        "adapters",
        help="list, load, unload and pin those of a running server",
        usage="hotswap adapters [list | load NAME FOLDER | unload NAME | pin NAME | "
        "unpin NAME] [--url URL] [--key KEY] [--json]",
    )
    adapters.add_argument(
        "action", nargs="?", choices=_NEEDS, default="list", help="list is the default"
    )
    adapters.add_argument("name", nargs="?", metavar="NAME", help="of the adapter")
    adapters.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="on the server's machine"
    )
    add_flags(adapters)
    adapters.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    given = [each for each in (args.name, args.folder) if each is not None]
    if len(given) != len(_NEEDS[args.action]):
        needs = " ".join(("hotswap adapters", args.action, *_NEEDS[args.action]))
        raise CommandFailed(f"it is: {needs}")
    answer = _ask(Remote(args.url, args.key), args.action, *given)
    if args.json:
        print(json.dumps(answer))
    elif args.action == "unload":
        print(f"{args.name}: removed")
    else:
        rows = answer["data"] if args.action == "list" else [answer]
        print(table(_TITLES, [_row(each) for each in rows]))
    return 0


def _ask(remote: Remote, action: str, name: str = "", folder: str = "") -> Any:
    path = f"/v1/adapters/{quote(name, safe='')}"
    match action:
        case "list":
            return remote.ask("GET", "/v1/adapters")
        case "load":
            body = {"lora_name": name, "lora_path": folder}
            remote.ask("POST", "/v1/load_lora_adapter", body)
            return remote.ask("GET", path)
        case "unload":
            return remote.ask("DELETE", path)
        case _:
            return remote.ask("POST", f"{path}/{action}")


def _row(told: dict[str, Any]) -> Sequence[str]:
    merges, mixes = told["can_merge"], told["can_mix"]
    steps = {
        (True, True): "both",
        (True, False): "merged",
        (False, True): "mixed",
    }.get((merges, mixes), "")
    where = told["residency"] + (", pinned" if told["pinned"] else "")
    note = told["reason"] or told["note"] or "; ".join(told["warnings"])
    return [
        told["name"],
        told["state"],
        (told["generation"] or "")[:12],
        "" if told["rank"] is None else str(told["rank"]),
        steps,
        where,
        str(told["requests"]),
        note or "",
    ]
