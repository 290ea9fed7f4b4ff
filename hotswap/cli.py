"""The command line: `hotswap serve` and `hotswap check`.

Light: all that can be told of flags, files and folders is told before the module that
runs the command is loaded, and torch with it.
"""

import argparse
import importlib
import logging
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from hotswap import __version__, config, options, start
from hotswap.errors import StartFailed
from hotswap.model import source

log = logging.getLogger(__name__)

_ABOUT = "Serve a model and its LoRA adapters, or check an adapter."


def main() -> None:
    """Exit status 0 is success, 1 a refused adapter, 2 a bad flag, file or model, 3 a
    server that did not start, 4 one that a bug has ended."""
    args = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        sys.exit(args.run(args))
    except StartFailed as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hotswap", description=_ABOUT)
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="serve a model and its adapters")
    serve.add_argument("model", nargs="?", help="folder, .gguf file or hub id")
    serve.add_argument("--adapters", metavar="DIR", help="the directory to watch")
    serve.add_argument("--port", type=int)
    serve.add_argument("--host")
    serve.add_argument("--config", type=Path, metavar="FILE", help="TOML")
    serve.add_argument(
        "--served-model-name",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="what the base model is called, in place of its own name; the first is "
        "what answers say",
    )
    _model_flags(serve)
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="validate an adapter, without serving it")
    check.add_argument("adapter", type=Path, metavar="ADAPTER_DIR")
    check.add_argument("--model", required=True)
    check.add_argument("--json", action="store_true", help="one JSON object")
    _model_flags(check)
    check.set_defaults(run=_check)
    return parser


def _model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype", help="auto (the fastest), float32, bfloat16 or float16"
    )
    parser.add_argument("--device", help="auto, cpu or cuda")


def _flags(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    model = {"path": args.model, "dtype": args.dtype, "device": args.device}
    if not hasattr(args, "port"):
        return {"model": model}
    return {
        "server": {
            "host": args.host,
            "port": args.port,
            "served_model_names": args.served_model_name,
        },
        "model": model,
        "adapters": {"directory": args.adapters},
    }


def _serve(args: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    settings = config.load(args.config, _flags(args), os.environ)
    for line in [*options.unknown(os.environ), *options.warnings(settings.lora)]:
        log.warning("%s", line)
    with start.ready(settings) as bound:
        return int(_heavy("hotswap.serve").run(settings, bound, begun_s))


def _check(args: argparse.Namespace) -> int:
    settings = config.load(None, _flags(args))
    source.check(settings.model.path)
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
