"""Assembly: the server's parts around an executor, whatever it computes with.

Who builds the executor loads what it takes; nothing here does.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from litestar import Litestar

from hotswap.adapter_watch import fetcher_of, journal_of, sharing_of, watch_of
from hotswap.adapters.generation import Generation
from hotswap.adapters.store import Store
from hotswap.api.application import application
from hotswap.api.cross_origin import CrossOrigin
from hotswap.api.request_bodies import BodyLimits
from hotswap.api.shared.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.config import Config
from hotswap.engine.engine import Engine
from hotswap.engine.queue_limits import QueueLimits
from hotswap.engine.sums import SumOrder
from hotswap.errors import StartFailed
from hotswap.handler import djl_handler
from hotswap.handler.runner import Runner
from hotswap.library import hooks
from hotswap.library.adapter_sources import Sources
from hotswap.library.library import Library
from hotswap.library.registry import Registry
from hotswap.library.remote_sources import RemoteSources
from hotswap.library.timed_read import TimedRead
from hotswap.limit_options import jobs_per_request
from hotswap.logs.observers import observers
from hotswap.model.executor import Executor
from hotswap.model.machine.budget import MemoryPlan
from hotswap.options import unless_auto
from hotswap.parser_names import ReasoningParserName
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import without_secrets
from hotswap.start import adapters_directory, key_ring
from hotswap.tokenizer import Tokenizer
from scheduler import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is served. `kind`: how it computes, `details`: on what, in which types, how
    much at once. `name`: what the base model is called if the configuration does not
    say. `context`: most tokens of a prompt and its answer. `read`: an adapter's folder
    -> its generation, `compose`: a sum's, on any thread."""

    executor: Executor
    kind: str
    details: Mapping[str, str | int] = field(default_factory=dict)
    memory: MemoryPlan
    scheduler: Scheduler
    tokenizer: Tokenizer
    name: str
    eos: frozenset[int]
    context: int
    read: Callable[[Path], Generation]
    compose: Callable[[SumOrder], Generation]


def hooks_of(config: Config) -> hooks.Hooks:
    """The operator's code, loaded, and its handler called for the first time. Raises
    StartFailed."""
    said, directory = config.hooks, adapters_directory(config)
    handler, runner = None, Runner(threads=said.threads, limit_s=said.call_s)
    if said.handler:
        handler = djl_handler.load(
            said.handler,
            adapters=directory,
            runner=runner,
            properties={"model_id": config.model.path},
        )
    own = hooks.Hooks(handler=handler, runner=runner)
    if said.module:
        own = hooks.load(said.module, directory, handler=handler, runner=runner)
    if handler is not None:
        handler.initialise()
    return own


def context_of(config: Config, name: str, most: int) -> int:
    """How many tokens a prompt and its answer may have. `most`: what the model called
    `name` was made for. Raises StartFailed."""
    wanted = unless_auto(config.model.max_model_len)
    if wanted is not None and wanted > most:
        raise StartFailed(
            f"model.max_model_len: {wanted} is more than the {most} tokens that {name} "
            "was made for"
        )
    return wanted or most


def assembled(config: Config, own: hooks.Hooks, served: Served) -> Litestar:
    """All parts, not started. `own`: the operator's hooks."""
    directory, lora = adapters_directory(config), config.lora
    executor, memory = served.executor, served.memory
    base, *also_base = config.server.served_model_names or (served.name,)
    library = Library()
    store = Store(
        reserved={base, *also_base},
        max_loaded=unless_auto(lora.max_cpu_loras),
        max_bytes=memory.adapter_bytes,
    )
    engine = _engine(config, served, store, library)
    read = TimedRead(served.read)
    fetcher = fetcher_of(config)
    registry = _registry(config, served, read, engine, own=own, fetcher=fetcher)
    library.open(registry)
    endpoints = Endpoints(directory / ENDPOINTS_FILE if directory else None)
    state = ServerState(
        engine=engine,
        base=base,
        reads=read.seconds,
        also_base=tuple(also_base),
        started_at=int(time.time()),
        memory=memory,
        executor={
            "kind": served.kind,
            "launches_ahead": executor.launches_ahead,
            "prefix_cache": engine.has_prefix_cache,
            **served.details,
        },
        library=library,
        endpoints=endpoints,
        hooks=own,
        watch=watch_of(config, library, fetcher),
        sharing=sharing_of(config, library, registry.journal, engine, endpoints),
        is_lora_enabled=lora.enable_lora,
        directory=directory,
        show_paths=config.server.show_paths,
        model_path=without_secrets(config.model.path),
        tool_parser=unless_auto(config.model.tool_parser),
        reasoning_parser=_unless_none(config.model.reasoning_parser),
        keys=key_ring(config),
        metrics_need_no_key=config.server.metrics_need_no_key,
    )
    submitter = _submitter(config, served, state, own)
    return application(
        state,
        submitter,
        config.server.drain_s,
        _bodies(config),
        pages=_pages(config, own),
        observers=observers(config.log, os.environ),
    )


def _submitter(
    config: Config, served: Served, state: ServerState, own: hooks.Hooks
) -> Submitter:
    made = Submitter(
        state.engine,
        state.library,
        served.tokenizer,
        own,
        eos=served.eos,
        max_waiting=served.scheduler.max_waiting,
        most_jobs=jobs_per_request(config.limits, served.scheduler.max_waiting),
        keeps_texts=config.log.prompts,
    )
    made.prepare()
    return made


def _engine(config: Config, served: Served, store: Store, library: Library) -> Engine:
    return Engine(
        served.executor,
        served.scheduler,
        store,
        served.tokenizer,
        eos=served.eos,
        context=served.context,
        prefix_cache=config.memory.prefix_cache,
        fetch=library.fetch,
        compose=library.compose,
        queue_limits=_queue_limits(config, served.scheduler.max_waiting),
    )


def _pages(config: Config, own: hooks.Hooks) -> CrossOrigin:
    server = config.server
    return CrossOrigin(
        hosts=server.hosts,
        origins=server.cors_origins,
        has_handler=own.handler is not None,
    )


def _bodies(config: Config) -> BodyLimits:
    limits = config.limits
    return BodyLimits(
        body_bytes=limits.body_bytes,
        all_bodies_bytes=limits.all_bodies_bytes,
        body_s=limits.body_s,
    )


def _queue_limits(config: Config, max_waiting: int) -> QueueLimits:
    """Without adapters there is nobody to keep room for beside the bare model."""
    limits = config.limits
    per_adapter = unless_auto(limits.waiting_per_adapter)
    if per_adapter is None and not config.lora.enable_lora:
        per_adapter = max_waiting
    return QueueLimits(
        per_adapter=per_adapter, per_key=unless_auto(limits.waiting_per_key)
    )


def _unless_none(
    name: ReasoningParserName | Literal["none"],
) -> ReasoningParserName | None:
    return None if name == "none" else name


def _registry(
    config: Config,
    served: Served,
    read: TimedRead,
    engine: Engine,
    *,
    own: hooks.Hooks,
    fetcher: Fetcher,
) -> Registry:
    directory = adapters_directory(config)
    roots = [Path(root) for root in config.adapters.roots]
    return Registry(
        read,
        engine.post,
        compose=served.compose,
        sources=Sources(
            [directory, *roots] if directory else roots, fetcher.cache.contents
        ),
        remote=RemoteSources(fetcher, config.adapters.sources),
        journal=journal_of(config),
        hooks=own,
        max_adapters=config.adapters.max_adapters,
        max_pinned=unless_auto(config.lora.max_cpu_loras),
    )
