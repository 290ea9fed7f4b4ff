"""The command line: `hotswap serve`, `hotswap check` and `hotswap key`.

Light: all that can be told of flags, files and folders is told before the module that
runs the command is loaded, and torch with it.
"""

import argparse
import gc
import importlib
import logging
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from hotswap import __version__, config, key_command, options, start
from hotswap.errors import StartFailed
from hotswap.model import model_path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flag:
    """`usage`: a flag and its value, or a place on the line. `parsing`: argparse's."""

    usage: str
    about: str
    parsing: dict[str, Any] = field(default_factory=dict)


_MODEL = "folder, .gguf file or hub id; echo: no model, it says what it is told"
# What sets a key of the configuration on the command line of `serve`.
FLAGS = {
    "model.path": Flag("MODEL", _MODEL, {"nargs": "?"}),
    "adapters.directory": Flag("--adapters DIR", "the directory to watch"),
    "server.port": Flag("--port PORT", "to listen on", {"type": int}),
    "server.host": Flag("--host HOST", "to listen on"),
    "server.api_keys": Flag("--api-keys FILE", "of keys that may ask for inference"),
    "server.admin_keys": Flag("--admin-keys FILE", "of keys that may do everything"),
    "server.allow_anyone": Flag(
        "--allow-anyone",
        "start without an admin key although others can reach HOST",
        {"action": "store_const", "const": True},
    ),
    "server.tls_cert": Flag("--tls-cert FILE", "PEM, the chain too: serve HTTPS"),
    "server.tls_key": Flag("--tls-key FILE", "PEM, the certificate's"),
    "server.served_model_names": Flag(
        "--served-model-name NAME",
        "what the base model is called, in place of its own name; the first is what "
        "answers say",
        {"nargs": "+", "action": "extend"},
    ),
    "model.dtype": Flag(
        "--dtype DTYPE", "auto (the fastest), float32, bfloat16 or float16"
    ),
    "model.device": Flag("--device DEVICE", "auto, cpu or cuda"),
    "model.tool_parser": Flag(
        "--tool-call-parser NAME", "in what form the model writes calls of tools"
    ),
    "model.reasoning_parser": Flag(
        "--reasoning-parser NAME", "in what form the model writes its reasoning"
    ),
}

_ABOUT = "Serve a model and its LoRA adapters, check an adapter, or make a key."


def main() -> None:
    """Exit status 0 is success, 1 a refused adapter, 2 a bad flag, file or model, 3 a
    server that did not start, 4 one that a bug has ended."""
    args = parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        sys.exit(args.run(args))
    except StartFailed as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """Where a flag sets a key of the configuration, its `dest` is `section.key`."""
    made = argparse.ArgumentParser(prog="hotswap", description=_ABOUT)
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = made.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="serve a model and its adapters")
    serve.add_argument("--config", type=Path, metavar="FILE", help="TOML")
    for key, flag in FLAGS.items():
        _add(serve, key, flag)
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="validate an adapter, without serving it")
    check.add_argument("adapter", type=Path, metavar="ADAPTER_DIR")
    check.add_argument("--json", action="store_true", help="one JSON object")
    _add(check, "model.path", Flag("--model MODEL", _MODEL, {"required": True}))
    for key in ("model.dtype", "model.device"):
        _add(check, key, FLAGS[key])
    check.set_defaults(run=_check)
    key_command.add(commands)
    return made


def _add(command: argparse.ArgumentParser, key: str, flag: Flag) -> None:
    words = flag.usage.split()
    names = [word for word in words if word.startswith("--")]
    metavar = words[-1] if words != names else None
    command.add_argument(
        *names, dest=key, metavar=metavar, help=flag.about, **flag.parsing
    )


def flags(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the line sets, by section and key; None is not set."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in vars(args).items():
        section, dot, key = name.partition(".")
        if dot:
            found.setdefault(section, {})[key] = value
    return found


def _serve(args: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    settings = config.load(args.config, flags(args), os.environ)
    for line in [*options.unknown(os.environ), *options.warnings(settings.lora)]:
        log.warning("%s", line)
    # What a start makes stays: to look through it again and again is a tenth of it.
    gc.disable()
    with start.ready(settings) as bound:
        if settings.model.path == model_path.ECHO:
            app = importlib.import_module("hotswap.echo.app")
        else:
            app = _heavy("hotswap.app")
        serve = importlib.import_module("hotswap.serve")
        return int(serve.run(app.build, settings, bound, begun_s))


def _check(args: argparse.Namespace) -> int:
    settings = config.load(None, flags(args))
    model_path.check(settings.model.path)
    return int(_heavy("hotswap.check").run(settings, args.adapter, as_json=args.json))


def _heavy(module: str) -> ModuleType:
    """torch and what needs it take many seconds: who asks for help, or mistypes, does
    not wait for them."""
    log.info("loading torch and what needs it")
    return importlib.import_module(module)


def _fail(message: str) -> int:
    print(f"hotswap: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
