"""vLLM app: the server around vLLM's workers, which have the model."""

import atexit

from litestar import Litestar

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.assembly import assembled, context_of, hooks_of
from hotswap.config import Config
from hotswap.engine.messages import Lost
from hotswap.model.calibrate import calibrate
from hotswap.model.load import device_named
from hotswap.model.machine.device import device_of
from hotswap.model.unloaded import Unloaded, unloaded
from hotswap.model.vllm.executor import VllmExecutor
from hotswap.model.vllm.start import Wanted, start, suiting_dtype
from hotswap.options import unless_auto
from hotswap.served_model import served_model
from hotswap.short_thread import in_short_thread
from hotswap.start import model_folder
from hotswap.tokenizer import Tokenizer
from scheduler import Costs


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    own = hooks_of(config)
    model, runner, costs = in_short_thread(lambda: _model(config))
    served = served_model(
        config,
        runner,
        costs,
        tokenizer=Tokenizer(model.tokenizer),
        tokenizers=AdapterTokenizers(model.tokenizer),
        name=model.name,
        eos=model.eos,
        device=runner.device,
    )
    application = assembled(config, own, served)
    engine = application.state.server.engine
    runner.when_lost(lambda reason: engine.post(Lost(reason)))
    return application


def _model(config: Config) -> tuple[Unloaded, VllmExecutor, Costs]:
    """The model, ready to run, and what its steps cost."""
    model = unloaded(config.model.path, model_folder(config))
    started = start(_wanted(config, model))
    atexit.register(started.stop)
    runner = VllmExecutor(started)
    return model, runner, calibrate(runner, runner.max_batch)


def _wanted(config: Config, model: Unloaded) -> Wanted:
    memory, schedule = config.memory, config.schedule
    device = device_named(unless_auto(config.model.device))
    suits, budget_gb = device_of(device), unless_auto(memory.budget_gb)
    return Wanted(
        folder=model.folder,
        name=model.name,
        skeleton=model.skeleton,
        dtype=unless_auto(config.model.dtype) or suiting_dtype(device),
        device=device,
        context=context_of(config, model.name, model.context),
        slots=unless_auto(memory.slots),
        kv_tokens=unless_auto(memory.kv_tokens),
        budget_bytes=None if budget_gb is None else int(budget_gb * 2**30),
        max_batch=unless_auto(schedule.max_batch) or suits.max_batch,
        prefill_tokens=unless_auto(schedule.prefill_tokens) or suits.prefill_tokens,
        tensor_parallel=config.model.tensor_parallel,
    )
