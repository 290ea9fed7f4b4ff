"""Heavy: torch and what needs it take many seconds to load.

Who asks for help, or mistypes, does not wait for them: commands load them by name, when
all that can be checked without them is checked.
"""

import importlib
import logging
import os
import sys
from types import ModuleType

log = logging.getLogger(__name__)


def heavy(module: str) -> ModuleType:
    """The module. The bars that its libraries draw are for terminals: in a file each
    would be a line of control characters (tqdm reads its variable when it is loaded).
    """
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    log.info("loading torch and what needs it")
    return importlib.import_module(module)
