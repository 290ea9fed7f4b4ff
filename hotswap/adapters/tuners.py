"""Tuners: any adapter that PEFT can merge -> a Rewrite for each module it changes.

PEFT itself builds its layers on a copy of the skeleton and loads the file into them,
with its own names; what a slot gets is its own `merge` on golden in float32. Nothing is
skipped: a tensor without a place and a place without its tensor refuse the adapter.
"""

from collections.abc import Iterator, Mapping

import torch
from peft import PeftConfig, PeftModel
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from peft.utils.save_and_load import set_peft_model_state_dict
from torch import nn
from transformers import PreTrainedModel

from hotswap.adapters.bounds import bounded, check_repeats
from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.adapters.generation import Rewrite
from hotswap.adapters.keys import PREFIX
from hotswap.adapters.layout import Layout, duplicate, hollow, is_hollow
from hotswap.adapters.quiet import quiet
from hotswap.adapters.rewrites import PeftMerge, Replaced
from hotswap.adapters.settings import refused
from hotswap.adapters.vocabulary import resize
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused

_NAME = "default"


def rewrites(
    config: PeftConfig, tensors: Mapping[str, torch.Tensor], layout: Layout
) -> dict[str, Rewrite]:
    """By module path. `config` becomes PEFT's own. Raises AdapterRefused."""
    check_repeats(config)
    for name in getattr(config, "modules_to_save", None) or ():
        if not any(n.endswith(f".{name}") or n == name for n in _names(layout)):
            raise AdapterRefused(
                "unknown_module", f"{CONFIG_FILE}: no module to save is called {name}"
            )
    model = duplicate(layout.skeleton)
    resize(model, config, tensors)
    ties = _ties(model)
    with quiet():  # what PEFT warns of is checked here
        with bounded(tensors, layout):
            wrapped = _injected(model, config)
        _load(wrapped, config, tensors, layout)
    wrapped.requires_grad_(False).eval()
    for places in ties:
        _tie(places)
    inner = wrapped.get_base_model()
    _check_biases(inner, config)
    _check_indices(inner)
    return dict(_changes(inner, wrapped))


def _check_indices(inner: nn.Module) -> None:
    """SHiRA's: torch would write wherever they point to."""
    for path, module in inner.named_modules():
        for indices in getattr(module, "shira_indices", {}).values():
            shape = torch.tensor(module.get_base_layer().weight.shape)[:, None]
            if indices.dim() != 2 or not bool(
                ((indices >= 0) & (indices < shape)).all()
            ):
                raise AdapterRefused(
                    "wrong_shape", f"{path}: shira_indices point outside of the weight"
                )


def _names(layout: Layout) -> list[str]:
    return [*layout.linear, *layout.others]


def _injected(model: PreTrainedModel, config: PeftConfig) -> PeftModel:
    with error_boundary(_not_injected):
        wrapped = PeftModel(model, config, autocast_adapter_dtype=False)
    for layer in wrapped.modules():
        if not isinstance(layer, BaseTunerLayer):
            continue
        base = layer.get_base_layer()
        if not all(is_hollow(p) for p in base.parameters(recurse=False)):
            raise AdapterRefused(
                "changed_base", f"{CONFIG_FILE}: it computes from a changed base"
            )
        # PEFT merges a bias into a bias only.
        adds_bias = getattr(config, "lora_bias", False) or config.peft_type == "BEFT"
        if adds_bias and isinstance(base, nn.Linear) and base.bias is None:
            base.bias = hollow((base.out_features,))
    return wrapped


def _not_injected(said: str) -> AdapterRefused:
    """Whatever PEFT finds wrong with the targets, it is the file that is at fault."""
    code = "bad_config"
    if "not found in the base model" in said or "No modules were targeted" in said:
        code = "unknown_module"
    elif "Target module" in said and "not supported" in said:
        code = "not_linear"
    return refused(code, said)


def _load(
    wrapped: PeftModel,
    config: PeftConfig,
    tensors: Mapping[str, torch.Tensor],
    layout: Layout,
) -> None:
    """The file's tensors into PEFT's layers, each and all. Mutates `wrapped`."""
    try:
        with error_boundary(lambda said: refused("bad_config", said)):
            # "low memory": the tensors take the places, nothing is copied over
            result = set_peft_model_state_dict(
                wrapped, dict(tensors), adapter_name=_NAME, low_cpu_mem_usage=True
            )
    except AdapterRefused as error:
        raise _not_loaded(error) from None
    mark = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    names = _names(layout)
    for key in result.unexpected_keys:
        module, found_mark, _ = key.removeprefix(PREFIX).partition(f".{mark}")
        if found_mark and module not in names:
            raise AdapterRefused("unknown_module", f"the model has no module {module}")
        raise AdapterRefused("unused_tensor", f"{key} has no place in the adapter")
    state = wrapped.state_dict()
    missing = set(result.missing_keys)
    loaded = {t.data_ptr() for key, t in state.items() if key not in missing}
    for key in result.missing_keys:
        belongs = mark in key or "modules_to_save" in key or "trainable_tokens" in key
        # Some layers know a tensor of all layers under a name of their own, too.
        if belongs and _NAME in key and state[key].data_ptr() not in loaded:
            raise AdapterRefused("missing_tensor", f"there is no {key}")


def _not_loaded(error: AdapterRefused) -> AdapterRefused:
    """PEFT's way to say that a tensor is missing, or torch's that many do not fit."""
    cause = error.__cause__
    if isinstance(cause, KeyError):
        return AdapterRefused("missing_tensor", f"there is no {cause}")
    if not isinstance(cause, RuntimeError):
        return error
    lines = str(cause).strip().splitlines()
    found = [line for line in lines if "size mismatch" in line] or lines
    return AdapterRefused("wrong_shape", found[0].strip())


def _check_biases(inner: nn.Module, config: PeftConfig) -> None:
    """`bias="all"` declares every bias, `"lora_only"` those of the targets."""
    declared = getattr(config, "bias", "none")
    for path, module in inner.named_modules():
        is_target = isinstance(module, BaseTunerLayer)
        bias = getattr(module.get_base_layer() if is_target else module, "bias", None)
        if (
            (declared == "all" or (declared == "lora_only" and is_target))
            and isinstance(bias, nn.Parameter)
            and is_hollow(bias)
        ):
            raise AdapterRefused(
                "missing_tensor", f"bias={declared!r}, but there is no bias of {path}"
            )


def _ties(model: PreTrainedModel) -> list[list[tuple[nn.Module, str]]]:
    """The places of every parameter that has several."""
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            places.setdefault(id(parameter), []).append((module, name))
    return [found for found in places.values() if len(found) > 1]


def _tie(places: list[tuple[nn.Module, str]]) -> None:
    """A base weight that the file replaced in one place is replaced in all."""
    given = [getattr(m, n) for m, n in places if not is_hollow(getattr(m, n))]
    for module, name in places:
        if given and is_hollow(getattr(module, name)):
            setattr(module, name, given[0])


def _changes(inner: nn.Module, wrapped: PeftModel) -> Iterator[tuple[str, Rewrite]]:
    tensors = {id(t): t for t in (*wrapped.parameters(), *wrapped.buffers())}
    inside: tuple[str, ...] = ()
    for path, module in inner.named_modules():
        if path.startswith(inside):
            continue
        if isinstance(module, ModulesToSaveWrapper):
            inside += (f"{path}.",)
            saved = module.modules_to_save[_NAME]
            for below, part in saved.named_modules():
                own = dict(part.named_parameters(recurse=False))
                if own:
                    yield f"{path}.{below}".rstrip("."), Replaced(own)
        elif isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
            inside += (f"{path}.",)
            yield path, PeftMerge(path, module, tensors)
        else:
            own = {
                name: parameter
                for name, parameter in module.named_parameters(recurse=False)
                if not is_hollow(parameter)
            }
            if own:
                yield path, Replaced(own)
