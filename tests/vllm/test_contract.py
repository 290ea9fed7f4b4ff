"""What is used of vLLM, one test for each interface: after an upgrade these say what
has moved. None of it is vLLM's public API.
"""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from vllm import envs
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers import utils as linear_layers
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.sampling_params import SamplingParams as VllmParams
from vllm.v1.core.sched.output import (
    CachedRequestData,
    GrammarOutput,
    NewRequestData,
    SchedulerOutput,
)
from vllm.v1.engine.core import EngineCore
from vllm.v1.executor import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import LogprobsLists, LogprobsTensors, ModelRunnerOutput

from hotswap.model.vllm import loader
from hotswap.model.vllm.extension import WorkerExtension
from hotswap.model.vllm.start import _ENVIRONMENT, Wanted, _engine_args
from tests import tiny


def names(kind: Any) -> set[str]:
    """Fields of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    return set(kind._fields)


def must_be_given(kind: Any) -> set[str]:
    """Fields without a default."""
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    }


def takes(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_an_empty_step_has_what_a_step_is_told_with() -> None:
    step = SchedulerOutput.make_empty()

    assert (step.scheduled_new_reqs, step.num_scheduled_tokens) == ([], {})
    assert (step.total_num_scheduled_tokens, step.finished_req_ids) == (0, set())
    assert isinstance(step.scheduled_cached_reqs, CachedRequestData)


def test_two_empty_steps_share_nothing() -> None:
    one, other = SchedulerOutput.make_empty(), SchedulerOutput.make_empty()

    assert one.scheduled_new_reqs is not other.scheduled_new_reqs
    assert one.num_scheduled_tokens is not other.num_scheduled_tokens
    assert one.scheduled_cached_reqs.req_ids is not other.scheduled_cached_reqs.req_ids


def test_a_new_request_needs_no_more_than_it_is_given() -> None:
    given = {
        *("req_id", "prompt_token_ids", "mm_features", "sampling_params"),
        *("pooling_params", "block_ids", "num_computed_tokens", "lora_request"),
    }

    assert must_be_given(NewRequestData) <= given <= names(NewRequestData)


def test_requests_that_go_on_are_told_by_these_lists() -> None:
    cached = CachedRequestData.make_empty()

    assert [
        *(cached.req_ids, cached.new_block_ids),
        *(cached.num_computed_tokens, cached.num_output_tokens),
    ] == [[]] * 4
    assert cached.resumed_req_ids == set()


def test_masks_of_grammars_are_requests_and_words() -> None:
    fields = [field.name for field in dataclasses.fields(GrammarOutput)]

    assert fields[:2] == ["structured_output_request_ids", "grammar_bitmask"]
    assert must_be_given(GrammarOutput) == set(fields[:2])


def test_what_a_step_gives_is_read_by_these_names() -> None:
    assert names(ModelRunnerOutput) >= {
        *("req_id_to_index", "sampled_token_ids", "logprobs"),
        *("prompt_logprobs_dict", "num_nans_in_logits"),
    }
    assert names(LogprobsLists) >= {
        *("logprob_token_ids", "logprobs", "sampled_token_ranks")
    }
    assert names(LogprobsTensors) >= {
        *("logprob_token_ids", "logprobs", "selected_token_ranks")
    }


def test_sampling_takes_our_fields_and_keeps_words_as_tokens() -> None:
    asked = {
        *("temperature", "top_p", "top_k", "min_p", "presence_penalty"),
        *("frequency_penalty", "repetition_penalty", "logit_bias"),
        *("allowed_token_ids", "seed", "logprobs", "prompt_logprobs"),
        *("min_tokens", "max_tokens", "stop_token_ids", "detokenize"),
    }

    assert asked <= set(takes(VllmParams))
    assert VllmParams()._bad_words_token_ids is None
    assert "bad_words_token_ids" in dir(VllmParams)


def test_engine_arguments_have_the_names_that_are_given(tmp_path: Path) -> None:
    wanted = Wanted(
        folder=tmp_path,
        name="tiny",
        skeleton=tiny.model("llama"),
        dtype=None,
        device=torch.device("cpu"),
        context=64,
        slots=None,
        kv_tokens=64,
        budget_bytes=1 << 20,
        max_batch=2,
        prefill_tokens=8,
        tensor_parallel=1,
    )

    made = _engine_args(wanted)

    assert isinstance(made, EngineArgs)
    assert "gpu_memory_utilization" in names(EngineArgs)


def test_environment_variables_are_vllms() -> None:
    assert set(_ENVIRONMENT) <= set(envs.environment_variables)


def test_the_core_is_made_of_a_configuration_and_a_class() -> None:
    assert takes(EngineCore.__init__)[1:4] == [
        *("vllm_config", "executor_class", "log_stats")
    ]
    assert takes(EngineCore.shutdown) == ["self"]
    assert takes(Executor.get_class) == ["vllm_config"]


def test_all_workers_are_called_by_the_executor() -> None:
    assert takes(Executor.execute_model)[:2] == ["self", "scheduler_output"]
    assert takes(Executor.sample_tokens)[:2] == ["self", "grammar_output"]
    assert {"method", "args"} <= set(takes(Executor.collective_rpc))
    assert takes(Executor.check_health) == ["self"]
    assert takes(Executor.get_kv_cache_specs) == ["self"]


def test_kv_that_keeps_each_token_has_this_type() -> None:
    assert inspect.isclass(FullAttentionSpec)


def test_our_loader_is_found_by_its_format() -> None:
    args = EngineArgs(load_format=loader.FORMAT)

    found = get_model_loader(args.create_load_config())

    assert isinstance(found, loader.WatchingLoader)


def test_the_default_loader_reads_and_loads_by_two_methods() -> None:
    assert takes(DefaultModelLoader.get_all_weights) == [
        *("self", "model_config", "model")
    ]
    assert takes(DefaultModelLoader.load_weights) == ["self", "model", "model_config"]
    assert "self.get_all_weights(" in inspect.getsource(DefaultModelLoader.load_weights)


@pytest.mark.parametrize("name", [n for n in dir(WorkerExtension) if n[0] != "_"])
def test_no_name_of_ours_hides_one_of_a_workers(name: str) -> None:
    assert name.startswith("hotswap_")


@pytest.mark.skipif(
    not hasattr(linear_layers, "dispatch_cpu_unquantized_gemm"),
    reason="a build without the CPU's layers",
)
def test_a_cpus_linear_layer_computes_with_a_closure_over_its_pack() -> None:
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.randn(64, 32), requires_grad=False)
    x = torch.randn(3, 32)

    linear_layers.dispatch_cpu_unquantized_gemm(layer, remove_weight=False)

    computed = layer.cpu_linear(x, layer.weight, None)  # type: ignore[operator]
    torch.testing.assert_close(computed, x @ layer.weight.T, atol=1e-4, rtol=1e-4)
    closure = inspect.getclosurevars(layer.cpu_linear)  # type: ignore[arg-type]
    packs = list(closure.nonlocals.values())
    assert all(
        isinstance(pack, torch.Tensor | bool | int) or hasattr(pack, "handler_tensor")
        for pack in packs
    )
