"""App: the server around a model that is loaded here, with all that takes."""

import logging
from dataclasses import replace
from functools import partial

from litestar import Litestar

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.weighted_sum import weighted_sum
from hotswap.assembly import Served, assembled, context_of, hooks_of
from hotswap.config import Config
from hotswap.engine.sums import SumOrder
from hotswap.model.calibrate import calibrate
from hotswap.model.executor_choice import ModelExecutor, choose_executor
from hotswap.model.load import load
from hotswap.model.network.loaded import Loaded
from hotswap.options import check_dtype, unless_auto
from hotswap.short_thread import in_short_thread
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Costs, Scheduler, SchedulerLimits

log = logging.getLogger(__name__)


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    own = hooks_of(config)
    loaded, runner, costs = in_short_thread(lambda: _model(config))
    dtype, compute_dtype = (
        str(each).removeprefix("torch.")
        for each in (runner.dtype, runner.compute_dtype)
    )
    check_dtype(config.lora, dtype)
    layout, limits = runner.layout, _limits(config)
    checked = partial(
        read,
        layout=layout,
        limits=limits,
        tokenizers=AdapterTokenizers(loaded.tokenizer),
    )

    def composed(order: SumOrder) -> Generation:
        return weighted_sum(order.key, order.parts, layout=layout, limits=limits)

    served = Served(
        executor=runner,
        kind=runner.kind,
        details={
            "device": str(loaded.model.device),
            "dtype": dtype,
            "compute_dtype": compute_dtype,
            "kernels": runner.kernels,
            "max_batch": runner.max_batch,
            "prefill_tokens": runner.prefill_tokens,
        },
        memory=runner.memory,
        scheduler=_scheduler(config, runner, costs),
        tokenizer=Tokenizer(loaded.tokenizer),
        name=loaded.name,
        eos=loaded.eos,
        context=loaded.context,
        read=lambda folder: runner.held(checked(folder)),
        compose=lambda order: runner.held(composed(order)),
    )
    return assembled(config, own, served)


def _model(config: Config) -> tuple[Loaded, ModelExecutor, Costs]:
    """The model, ready to run, and what its steps cost."""
    model, memory = config.model, config.memory
    loaded = load(model.path, unless_auto(model.dtype), unless_auto(model.device))
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


def _scheduler(config: Config, runner: ModelExecutor, costs: Costs) -> Scheduler:
    schedule = config.schedule
    return Scheduler(
        POLICIES[schedule.policy](),
        SchedulerLimits(
            kv_tokens=runner.kv_tokens,
            block_tokens=runner.block_tokens,
            max_batch=runner.max_batch,
            max_waiting=schedule.max_waiting,
            prefill_tokens=runner.prefill_tokens,
            patience_s=schedule.patience_s,
            switch_budget=schedule.switch_budget,
            max_mixed_adapters=unless_auto(config.lora.max_loras),
            launches_ahead=runner.launches_ahead,
        ),
        builds_ahead=runner.weights.builds_ahead,
        costs=costs,
    )


def _limits(config: Config) -> CheckpointLimits:
    return CheckpointLimits(
        max_rank=unless_auto(config.lora.max_lora_rank),
        max_bytes=unless_auto(config.adapters.max_bytes),
        max_merge_loss=config.adapters.max_merge_loss,
        other_base=config.adapters.other_base,
        targets=tuple(config.lora.target_modules),
    )
