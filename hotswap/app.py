"""App: the server around a model that is loaded here, with all that takes."""

import logging
from dataclasses import replace

from litestar import Litestar

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.assembly import assembled, context_of, hooks_of
from hotswap.config import Config
from hotswap.model.calibrate import calibrate
from hotswap.model.executor_choice import ModelExecutor, choose_executor
from hotswap.model.load import load
from hotswap.model.network.loaded import Loaded
from hotswap.options import unless_auto
from hotswap.served_model import served_model
from hotswap.short_thread import in_short_thread
from hotswap.start import model_folder
from hotswap.tokenizer import Tokenizer
from scheduler import Costs

log = logging.getLogger(__name__)


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    own = hooks_of(config)
    loaded, runner, costs = in_short_thread(lambda: _model(config))
    served = served_model(
        config,
        runner,
        costs,
        tokenizer=Tokenizer(loaded.tokenizer),
        tokenizers=AdapterTokenizers(loaded.tokenizer),
        name=loaded.name,
        eos=loaded.eos,
        device=str(loaded.model.device),
    )
    return assembled(config, own, served)


def _model(config: Config) -> tuple[Loaded, ModelExecutor, Costs]:
    """The model, ready to run, and what its steps cost."""
    model, memory = config.model, config.memory
    loaded = load(
        model.path,
        unless_auto(model.dtype),
        unless_auto(model.device),
        model_folder(config),
    )
    context = context_of(config, loaded.name, loaded.context)
    loaded = replace(loaded, context=context)
    budget_gb = unless_auto(memory.budget_gb)
    runner = choose_executor(
        loaded,
        slots=unless_auto(memory.slots),
        kv_tokens=unless_auto(memory.kv_tokens),
        budget_bytes=None if budget_gb is None else int(budget_gb * 2**30),
        max_batch=unless_auto(config.schedule.max_batch),
        prefill_tokens=unless_auto(config.schedule.prefill_tokens),
    )
    held = runner.memory
    log.info(
        "executor kind=%r launches_ahead=%s max_batch=%d slots=%d kv_tokens=%d",
        *(runner.kind, runner.launches_ahead, runner.max_batch),
        *(held.slots, held.kv_tokens),
    )
    return loaded, runner, calibrate(runner, runner.max_batch)
