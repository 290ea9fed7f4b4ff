"""App choice: what builds the application. Loaded by name, as each loads what is its
own: a server without a model loads no torch, one on vLLM no kernels of ours."""

import importlib
from collections.abc import Callable
from types import ModuleType

from hotswap.config import Config
from hotswap.errors import StartFailed
from hotswap.model import model_path
from hotswap.model.vllm.versions import check_version


def chosen_app(
    config: Config, load: Callable[[str], ModuleType] = importlib.import_module
) -> ModuleType:
    """Has `build(config)`. `load`: of a module that takes many seconds. Raises
    StartFailed where vLLM is not as it is needed."""
    if config.model.path == model_path.ECHO:
        return importlib.import_module("hotswap.echo.app")
    if config.model.executor != "vllm":
        return load("hotswap.app")
    check_version()
    try:
        return load("hotswap.vllm_app")
    except ImportError as error:  # one that lacks a part, or another's library
        raise StartFailed(f"--executor vllm: vLLM cannot be loaded: {error}") from error
