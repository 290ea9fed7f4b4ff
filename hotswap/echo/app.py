"""App: the server around an executor without weights."""

from litestar import Litestar

from hotswap.adapters.generation import Generation
from hotswap.assembly import Served, assembled, context_of, hooks_of
from hotswap.config import Config
from hotswap.echo.executor import EchoExecutor
from hotswap.echo.folder import read
from hotswap.echo.vocabulary import TEMPLATE, Vocabulary
from hotswap.model.machine.budget import MemoryPlan
from hotswap.options import unless_auto
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Scheduler, SchedulerLimits

_NAME = "echo"
_CONTEXT = 1 << 15
_MAX_BATCH, _PREFILL_TOKENS = 64, 4096


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    vocabulary, schedule = Vocabulary(), config.schedule
    max_batch = unless_auto(schedule.max_batch) or _MAX_BATCH
    context = context_of(config, _NAME, _CONTEXT)
    kv_tokens = unless_auto(config.memory.kv_tokens) or context * max_batch
    limits = SchedulerLimits(
        kv_tokens=kv_tokens,
        block_tokens=EchoExecutor.block_tokens,
        max_batch=max_batch,
        max_waiting=schedule.max_waiting,
        prefill_tokens=unless_auto(schedule.prefill_tokens) or _PREFILL_TOKENS,
        patience_s=schedule.patience_s,
        switch_budget=schedule.switch_budget,
        max_mixed_adapters=unless_auto(config.lora.max_loras),
    )
    served = Served(
        executor=EchoExecutor(vocabulary),
        kind=EchoExecutor.kind,
        details={
            "max_batch": max_batch,
            "prefill_tokens": limits.prefill_tokens,
        },
        memory=_memory(config, kv_tokens),
        scheduler=Scheduler(POLICIES[schedule.policy](), limits, builds_ahead=False),
        tokenizer=Tokenizer(vocabulary, template=TEMPLATE),
        name=_NAME,
        eos=frozenset({vocabulary.end}),
        context=context,
        read=read,
        compose=lambda order: Generation(key=order.key, deltas={}),
    )
    return assembled(config, hooks_of(config), served)


def _memory(config: Config, kv_tokens: int) -> MemoryPlan:
    """It holds nothing; the numbers of things are as configured."""
    return MemoryPlan(
        budget_bytes=0,
        golden_bytes=0,
        slot_bytes=0,
        slots=unless_auto(config.memory.slots) or 1,
        kv_token_bytes=0,
        kv_tokens=kv_tokens,
        lora_pages=0,
        adapter_bytes=1 << 30,
        golden_stays=True,
    )
