"""`hotswap check`: validate an adapter, without serving it."""

import argparse
from pathlib import Path
from typing import Any

from hotswap import config
from hotswap.commands.flag import Flag, add_flag, set_keys
from hotswap.commands.heavy import heavy
from hotswap.commands.serve_flags import FLAGS, MODEL
from hotswap.model import model_path


def add_to(commands: Any) -> None:
    check = commands.add_parser("check", help="validate an adapter, without serving it")
    check.add_argument("adapter", type=Path, metavar="ADAPTER_DIR")
    check.add_argument("--json", action="store_true", help="one JSON object")
    add_flag(check, "model.path", Flag("--model MODEL", MODEL, {"required": True}))
    for key in ("model.dtype", "model.device"):
        add_flag(check, key, FLAGS[key])
    check.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    settings = config.load(None, set_keys(args))
    model_path.check(settings.model.path)
    check = heavy("hotswap.check")
    return int(check.run(settings, args.adapter, as_json=args.json))
