"""App: the only file that knows everyone. Builds the parts out of the configuration."""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Literal

from litestar import Litestar

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.store import Store
from hotswap.api.application import application
from hotswap.api.cross_origin import CrossOrigin
from hotswap.api.shared.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.config import Config
from hotswap.engine.engine import Engine
from hotswap.library import hooks
from hotswap.library.adapter_sources import Sources
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.registry import Registry
from hotswap.library.watch import Watch
from hotswap.model.calibrate import calibrate
from hotswap.model.executor_choice import ModelExecutor, choose_executor
from hotswap.model.load import load
from hotswap.model.network.loaded import Loaded
from hotswap.options import check_dtype, unless_auto
from hotswap.parser_names import ReasoningParserName
from hotswap.short_thread import in_short_thread
from hotswap.start import adapters_directory
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Costs, Scheduler, SchedulerLimits

log = logging.getLogger(__name__)


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    directory, module = adapters_directory(config), config.hooks.module
    own = hooks.load(module, directory) if module else hooks.Hooks()
    loaded, runner, costs = in_short_thread(lambda: _model(config))
    lora = config.lora
    check_dtype(lora, str(runner.dtype).removeprefix("torch."))
    scheduler = _scheduler(config, runner, costs)
    tokenizer = Tokenizer(loaded.tokenizer)
    base, *also_base = config.server.served_model_names or (loaded.name,)
    store = Store(
        reserved={base, *also_base},
        max_loaded=unless_auto(lora.max_cpu_loras),
        max_bytes=runner.memory.adapter_bytes,
    )
    library = Library()
    engine = Engine(
        runner,
        scheduler,
        store,
        tokenizer,
        eos=loaded.eos,
        context=loaded.context,
        fetch=library.fetch,
    )
    library.open(_registry(config, loaded, runner, engine, own))
    watch = _watch(config, library)
    state = ServerState(
        engine=engine,
        base=base,
        also_base=tuple(also_base),
        started_at=int(time.time()),
        memory=runner.memory,
        executor={"kind": runner.kind, "launches_ahead": runner.launches_ahead},
        library=library,
        endpoints=Endpoints(directory / ENDPOINTS_FILE if directory else None),
        hooks=own,
        watch=watch,
        is_lora_enabled=lora.enable_lora,
        directory=directory,
        show_paths=config.server.show_paths,
        model_path=config.model.path,
        tool_parser=unless_auto(config.model.tool_parser),
        reasoning_parser=_unless_none(config.model.reasoning_parser),
    )
    submitter = Submitter(
        engine, library, tokenizer, own, max_waiting=scheduler.max_waiting
    )
    server = config.server
    pages = CrossOrigin(hosts=server.hosts, origins=server.cors_origins)
    return application(state, submitter, server.drain_s, pages)


def _unless_none(
    name: ReasoningParserName | Literal["none"],
) -> ReasoningParserName | None:
    return None if name == "none" else name


def _model(config: Config) -> tuple[Loaded, ModelExecutor, Costs]:
    """The model, ready to run, and what its steps cost."""
    model, memory = config.model, config.memory
    loaded = load(model.path, unless_auto(model.dtype), unless_auto(model.device))
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


def _registry(
    config: Config,
    loaded: Loaded,
    runner: ModelExecutor,
    engine: Engine,
    own: hooks.Hooks,
) -> Registry:
    directory = adapters_directory(config)
    roots = [Path(root) for root in config.adapters.roots]
    checked = partial(
        read,
        layout=runner.layout,
        limits=_limits(config),
        tokenizers=AdapterTokenizers(loaded.tokenizer),
    )
    return Registry(
        lambda folder: runner.held(checked(folder)),
        engine.post,
        sources=Sources([directory, *roots] if directory else roots),
        journal=Journal(directory / JOURNAL_FILE if directory else None),
        hooks=own,
        max_adapters=config.adapters.max_adapters,
        max_pinned=unless_auto(config.lora.max_cpu_loras),
    )


def _limits(config: Config) -> CheckpointLimits:
    return CheckpointLimits(
        max_rank=unless_auto(config.lora.max_lora_rank),
        max_bytes=unless_auto(config.adapters.max_bytes),
        max_merge_loss=config.adapters.max_merge_loss,
        other_base=config.adapters.other_base,
        targets=tuple(config.lora.target_modules),
    )


def _watch(config: Config, library: Library) -> Watch | None:
    directory = adapters_directory(config)
    if directory is None:
        return None
    return Watch(
        directory,
        quiet_s=config.adapters.quiet_s,
        seen=library.seen,
        found=library.found,
        gone=library.gone,
        moved=library.moved,
        polling=config.adapters.polling,
    )
