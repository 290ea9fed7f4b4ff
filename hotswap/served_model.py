"""Served model: what is served around an executor that has a model, whichever it is."""

from functools import partial

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.weighted_sum import weighted_sum
from hotswap.assembly import Served
from hotswap.config import Config
from hotswap.engine.sums import SumOrder
from hotswap.model.model_executor import ModelExecutor
from hotswap.options import check_dtype, unless_auto
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Costs, Scheduler, SchedulerLimits


def served_model(
    config: Config,
    runner: ModelExecutor,
    costs: Costs,
    *,
    tokenizer: Tokenizer,
    tokenizers: AdapterTokenizers,
    name: str,
    eos: frozenset[int],
    device: str,
) -> Served:
    """`costs`: of the runner's steps. `tokenizer`: the model's; `tokenizers`: what
    makes an adapter's own. Raises StartFailed for another dtype than the runner has."""
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
        tokenizers=tokenizers,
    )

    def composed(order: SumOrder) -> Generation:
        return weighted_sum(order.key, order.parts, layout=layout, limits=limits)

    return Served(
        executor=runner,
        kind=runner.kind,
        details={
            "device": device,
            "dtype": dtype,
            "compute_dtype": compute_dtype,
            "kernels": runner.kernels,
            "max_batch": runner.max_batch,
            "prefill_tokens": runner.prefill_tokens,
        },
        memory=runner.memory,
        scheduler=_scheduler(config, runner, costs),
        tokenizer=tokenizer,
        name=name,
        eos=eos,
        context=runner.context,
        read=lambda folder: runner.held(checked(folder)),
        compose=lambda order: runner.held(composed(order)),
    )


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
