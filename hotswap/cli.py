"""The command line: `hotswap serve`, `deploy`, `check`, `status`, `adapters` and `key`.

Light: all that can be told of flags, files and folders is told before the module that
runs the command is loaded, and torch with it.
"""

import argparse
import logging
import os
import sys

from hotswap import __version__, key_command
from hotswap.commands import (
    adapters_command,
    check_command,
    deploy_command,
    serve_command,
    status_command,
)
from hotswap.errors import CommandFailed, StartFailed
from hotswap.logs.printable import printable
from hotswap.logs.setup import set_up

log = logging.getLogger(__name__)

_ABOUT = (
    "Serve a model and its LoRA adapters, check an adapter, ask a running server, "
    "make a key."
)


def main() -> None:
    """Exit status 0 is success, 1 a refused adapter or order, 2 a bad flag, file or
    model, 3 a server that did not start, 4 one that a bug has ended."""
    args = parser().parse_args()
    set_up()
    try:
        sys.exit(args.run(args))
    except StartFailed as error:
        sys.exit(_fail(str(error), 2))
    except CommandFailed as error:
        sys.exit(_fail(str(error), 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read what we print has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        log.critical("ended by a bug", exc_info=True)
        sys.exit(4)


def parser() -> argparse.ArgumentParser:
    """Where a flag sets a key of the configuration, its `dest` is `section.key`."""
    made = argparse.ArgumentParser(prog="hotswap", description=_ABOUT)
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        serve_command,
        deploy_command,
        check_command,
        status_command,
        adapters_command,
    ):
        command.add_to(commands)
    key_command.add(commands)
    return made


def _fail(message: str, status: int) -> int:
    print(f"hotswap: {printable(message)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
