"""The command line: `hotswap serve` and `hotswap check`."""

import argparse
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import uvicorn

from hotswap import app, config, connections, options
from hotswap.adapters.report import report, text
from hotswap.errors import StartFailed
from hotswap.model.load import load
from hotswap.model.runner import Runner

log = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0 is success, 1 a refused adapter, 2 a bad flag, file or model."""
    args = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        sys.exit(args.run(args))
    except StartFailed as error:
        sys.exit(_fail(str(error)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hotswap", description=__doc__)
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
    parser.add_argument("--dtype", help="auto, float32, bfloat16 or float16")
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
    settings = config.load(args.config, _flags(args), os.environ)
    for line in [*options.unknown(os.environ), *options.warnings(settings.lora)]:
        log.warning("%s", line)
    if not settings.model.path:
        raise StartFailed("no model: name one, or set `path` under [model]")
    server = settings.server
    http = connections.http(
        app.build(settings),
        host=server.host,
        port=server.port,
        drain_s=server.drain_s,
    )
    running = Server(http)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is done
        running.run()
    return 0 if running.started else 3


class Server(uvicorn.Server):
    """Tells the engine at the first signal; uvicorn itself tells nobody until every
    connection is closed, and a long answer would keep its connection open."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.drain()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _check(args: argparse.Namespace) -> int:
    settings = config.load(None, _flags(args))
    loaded = load(settings.model.path, settings.model.dtype, settings.model.device)
    runner = Runner(loaded, slots=1, kv_tokens=1)
    found = report(args.adapter, runner.layout)
    as_json = msgspec.json.encode(found).decode()
    print(as_json if args.json else text(args.adapter, found))
    return 0 if found.ok else 1


def _fail(message: str) -> int:
    print(f"hotswap: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
