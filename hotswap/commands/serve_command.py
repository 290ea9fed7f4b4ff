"""`hotswap serve`: what can be wrong is looked at before anything heavy is loaded."""

import argparse
import gc
import importlib
import logging
import os
import time
from pathlib import Path
from typing import Any

from hotswap import config, options, start
from hotswap.app_choice import chosen_app
from hotswap.commands.flag import add_flag, set_keys
from hotswap.commands.heavy import heavy
from hotswap.commands.serve_flags import FLAGS, GROUPS
from hotswap.djl_config.model_store import SAGEMAKER_STORE
from hotswap.errors import StartFailed
from hotswap.logs.setup import set_up, writes_json

log = logging.getLogger(__name__)

_EPILOG = "Every key of the configuration: docs/configuration.md, configs/default.toml."


def add_to(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="serve a model and its adapters", epilog=_EPILOG
    )
    serve.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML; a flag wins over it"
    )
    groups = {
        section: serve.add_argument_group(title) for section, title in GROUPS.items()
    }
    for key, flag in FLAGS.items():
        add_flag(groups[key.partition(".")[0]], key, flag)
    serve.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    given = config.gather(args.config, set_keys(args), os.environ, SAGEMAKER_STORE)
    settings = given.config
    set_up(settings.log.format, settings.log.level)
    if unheeded := [*given.unheeded, *options.warnings(settings.lora)]:
        log.warning("without effect here: %s", "; ".join(unheeded))
    try:
        return _serve(settings, begun_s)
    except StartFailed as error:
        if not writes_json(settings.log.format):
            raise
        log.critical("%s", error)
        return 2


def _serve(settings: config.Config, begun_s: float) -> int:
    # What a start makes stays: to look through it again and again is a tenth of it.
    gc.disable()
    with start.ready(settings) as bound:
        app = chosen_app(settings, heavy)
        serve = importlib.import_module("hotswap.serve")
        return int(serve.run(app.build, settings, bound, begun_s))
