"""`hotswap deploy`: replicas of the server on Ray Serve."""

import argparse
import importlib
import os
from pathlib import Path
from typing import Any

from hotswap import config
from hotswap.commands.flag import Flag, add_flag, set_keys
from hotswap.commands.serve_flags import FLAGS
from hotswap.djl_config.model_store import SAGEMAKER_STORE
from hotswap.errors import StartFailed
from hotswap.logs.setup import set_up

_OWN = {
    "deploy.replicas": Flag("--replicas N", "of the server", {"type": int}),
    "deploy.address": Flag("--address ADDRESS", "of a Ray cluster that runs already"),
}


def add_to(commands: Any) -> None:
    deploy = commands.add_parser(
        "deploy", help="serve on replicas, by Ray Serve (hotswap[ray])"
    )
    deploy.add_argument("config", type=Path, metavar="CONFIG", help="TOML")
    for key in ("server.port", "server.host"):
        add_flag(deploy, key, FLAGS[key])
    for key, flag in _OWN.items():
        add_flag(deploy, key, flag)
    deploy.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    given = config.gather(args.config, set_keys(args), os.environ, SAGEMAKER_STORE)
    set_up(given.config.log.format, given.config.log.level)
    try:
        deploying = importlib.import_module("hotswap.ray.deploying")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("ray", "starlette"):
            raise
        raise StartFailed(
            "deploy needs Ray Serve: pip install 'hotswap[ray]'"
        ) from None
    return int(deploying.run(given.config))
