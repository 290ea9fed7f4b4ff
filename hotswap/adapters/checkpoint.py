"""Checkpoint: a PEFT adapter folder -> a checked Generation, or AdapterRefused.

Nothing is guessed and nothing is skipped: a tensor that no module takes, a module
without its tensors, a setting that merging would get wrong, all refuse the folder.
Only safetensors is read; a pickle is never opened. Knows no names, no slots.

What is cheap to look at comes first, and nothing is used before it was looked at:

    files        files, foreign
    config       settings, peft_config; limits, patterns
    tensors      tensors, keys
    updates      updates: low_rank, or tuners (bounds, vocabulary) and rewrites
    tokenizer    adapter_tokenizer, tokenizer_pipeline
    generation   deltas; fidelity says in which modes it is served
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peft import PeftConfig

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.fidelity import judged
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.files import read_file, unreadable
from hotswap.adapters.foreign import check_pointer, explained
from hotswap.adapters.generation import Generation
from hotswap.adapters.layout import Layout
from hotswap.adapters.limits import (
    CheckpointLimits,
    check_base,
    check_rank,
    check_targets,
)
from hotswap.adapters.patterns import check_patterns
from hotswap.adapters.peft_config import parse
from hotswap.adapters.settings import unusual
from hotswap.adapters.sidecar import SIDECAR_FILE, read_sidecar
from hotswap.adapters.tensors import tensors_of
from hotswap.adapters.updates import absent_targets, prove, updates
from hotswap.adapters.vocabulary import added_tokens, known_tokens
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused
from hotswap.tokenizer import Tokenizer

_MOST = 1000  # characters of a reason
_MOST_CONFIG_BYTES = 1 << 20
_LEAST_LIMIT = 1 << 26  # a tiny model's adapter may be larger than the model


def read(
    folder: Path,
    layout: Layout,
    limits: CheckpointLimits | None = None,
    tokenizers: AdapterTokenizers | None = None,
) -> Generation:
    """Read and check one folder; its tokenizer only if `tokenizers`, the model's, are
    given. Raises AdapterRefused and nothing else; never half a generation."""
    try:
        with error_boundary(
            lambda said: AdapterRefused("unexpected", f"it ends in {said}")
        ):
            try:
                with layout.beside_steps():
                    return _read(
                        folder, layout, limits or CheckpointLimits(), tokenizers
                    )
            except OSError as error:  # no room for a copy, no process for a trial
                raise unreadable(error) from None
    except AdapterRefused as error:
        reason = _one_line(error.reason)
        if reason == error.reason:
            raise
        raise AdapterRefused(error.code, reason, is_passing=error.is_passing) from error


def _read(
    folder: Path,
    layout: Layout,
    limits: CheckpointLimits,
    tokenizers: AdapterTokenizers | None,
) -> Generation:
    raw_config, raw_weights = _files(folder, layout, limits)

    config = parse(raw_config)
    warnings = check_base(config, layout, limits)
    check_rank(config, limits)
    check_patterns(vars(config), layout)

    tensors, renamings = tensors_of(raw_weights, str(config.peft_type.value), layout)
    sidecar = read_sidecar(folder)

    with _naming_settings(config):
        made, others, note = updates(config, tensors, layout)
    warnings += renamings + absent_targets(config, layout)
    check_targets({*made, *others}, limits)

    added = added_tokens(layout.skeleton, config, tensors) if others else 0
    tokens = known_tokens(layout.skeleton) + added
    tokenizer, warned = _tokenizer(folder, tokenizers, tokens, sidecar.chat_template)
    warnings += warned
    if tokenizer is None and added:
        warnings += (
            f"it has {added} tokens that the model's tokenizer does not know: they "
            "can neither be written in a prompt nor read in an answer",
        )

    written_in = tokenizer.key.encode() if tokenizer else b""
    digest = hashlib.sha256(raw_config + raw_weights + written_in).hexdigest()
    generation = Generation(
        key=digest[:16],
        deltas=made,
        format=_format(config),
        rewrites=others,
        note=note,
        warnings=warnings,
        tokenizer=tokenizer,
    )
    with _naming_settings(config), error_boundary(_not_mergeable):
        # Values that PEFT cannot compute with: an index out of range, no inverse.
        prove(others, layout)
        return judged(_scaled(generation, sidecar.scale), layout, limits)


def _format(config: PeftConfig) -> str:
    """PEFT's name of the type, and DoRA, which it takes for a setting."""
    kind = str(config.peft_type.value)
    return f"{kind} with DoRA" if getattr(config, "use_dora", False) else kind


def _scaled(generation: Generation, scale: float) -> Generation:
    if scale == 0:
        reason = f"{SIDECAR_FILE}: with a scale of 0 it is the bare model"
        raise AdapterRefused("zero_effect", reason)
    return generation if scale == 1 else generation.scaled(scale)


def _files(
    folder: Path, layout: Layout, limits: CheckpointLimits
) -> tuple[bytes, bytes]:
    """Config and weights. Raises AdapterRefused, with what the folder is instead."""
    try:
        raw_config, raw_weights = _read_files(folder, layout, limits)
    except AdapterRefused as error:
        raise explained(error, folder) from None
    check_pointer(CONFIG_FILE, raw_config)
    check_pointer(WEIGHTS_FILE, raw_weights)
    return raw_config, raw_weights


def _read_files(
    folder: Path, layout: Layout, limits: CheckpointLimits
) -> tuple[bytes, bytes]:
    config = read_file(folder, CONFIG_FILE, _MOST_CONFIG_BYTES, code="no_config")
    if config is None:
        raise AdapterRefused("no_config", f"{CONFIG_FILE}: No such file or directory")
    most = limits.max_bytes or _most_bytes(layout)
    key = "`max_bytes` under [adapters]"
    weights = read_file(folder, WEIGHTS_FILE, most, code="no_weights", key=key)
    if weights is None:
        reason = f"{WEIGHTS_FILE}: No such file or directory"
        raise AdapterRefused("no_weights", reason)
    return config, weights


def _most_bytes(layout: Layout) -> int:
    """What a file of updates can sensibly be."""
    numbers = sum(p.numel() for ps in layout.golden.values() for p in ps.values())
    return max(4 * numbers, _LEAST_LIMIT)


def _tokenizer(
    folder: Path,
    tokenizers: AdapterTokenizers | None,
    tokens: int,
    template: str | None,
) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """The folder's own, and what to know of it. `tokens`: as many does it know."""
    if tokenizers is None:
        return None, ()
    own = tokenizers.of(folder, tokens)
    warnings = tokenizers.tried(own, template)
    if own is not None and own.unknown:
        warnings += (
            f"its tokenizer has {own.unknown} tokens for which there are no weights: "
            "they cannot be written in a prompt",
        )
    return own, warnings


@contextmanager
def _naming_settings(config: PeftConfig) -> Iterator[None]:
    """A refusal in here says by which settings the file was read: PEFT rarely says
    which one it is that does not fit."""
    try:
        yield
    except AdapterRefused as error:
        given = unusual(vars(config), type(config))
        reason = f"{error.reason} (read with {given})"
        raise AdapterRefused(error.code, reason, is_passing=error.is_passing) from None


def _one_line(reason: str) -> str:
    """A stranger's names and values are of any length, and of any characters."""
    text = "".join(c if c.isprintable() else "?" for c in reason)
    return (
        text
        if len(text) <= _MOST
        else f"{text[: _MOST // 2]} ... {text[-_MOST // 2 :]}"
    )


def _not_mergeable(said: str) -> AdapterRefused:
    return AdapterRefused("not_mergeable", f"PEFT cannot merge it: {said}")
