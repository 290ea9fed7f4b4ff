"""Operator's module: code that the configuration names, run once at the start.

Nothing in an adapter's folder is ever imported: what is dropped there is data.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.errors import StartFailed


def load(module: str, what: str, adapters: Path | None) -> ModuleType:
    """A module by its dotted name or by the path of a .py file, run.

    `what` it is, for people. `adapters` is the directory it must not lie in. Raises
    StartFailed, whatever the module does wrong.
    """
    try:
        return _run(_find(module, adapters))
    except StartFailed as error:
        raise StartFailed(f"{what} {module}: {error}") from None
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise StartFailed(f"{what} {module}: {why}") from None


def _find(module: str, adapters: Path | None) -> ModuleSpec:
    is_file = module.endswith(".py")
    if is_file:
        spec = importlib.util.spec_from_file_location(
            f"_hooks_{Path(module).stem}",
            module,  # no library's name is taken
        )
    else:
        spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or (is_file and not Path(module).is_file()):
        raise StartFailed("no such module")
    place = Path(spec.origin).resolve()
    if adapters is not None and place.is_relative_to(adapters.resolve()):
        raise StartFailed(f"code in the adapters directory {adapters} is never run")
    if (place.parent / CONFIG_FILE).exists():
        raise StartFailed("code in the folder of an adapter is never run")
    return spec


def _run(spec: ModuleSpec) -> ModuleType:
    assert spec.loader is not None, spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module
