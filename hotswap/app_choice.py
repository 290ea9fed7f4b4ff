"""App choice: which module builds the application. By name, as each loads what is its
own: a server without a model loads no torch, one on vLLM no kernels of ours."""

from hotswap.config import Config
from hotswap.model import model_path


def app_module(config: Config) -> str:
    """Has `build(config)`."""
    if config.model.path == model_path.ECHO:
        return "hotswap.echo.app"
    return "hotswap.vllm_app" if config.model.executor == "vllm" else "hotswap.app"
