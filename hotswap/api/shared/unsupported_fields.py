"""Unsupported fields: what peers' clients send that is not done here. One table.

A value that asks for nothing beyond what is done anyway passes; any other would change
the answer and is refused by name, and so is a field that nobody knows. The fields are
those of OpenAI's, vLLM's, LoRAX', TGI's and DJL's request bodies.
"""

from collections.abc import Mapping
from typing import Final

from hotswap.errors import BadRequest

Neutral = Mapping[str, tuple[object, ...]]

# Whatever it says, the answer is the same.
ANYTHING: Final[tuple[object, ...]] = (object(),)
# Only `null`, which is absent, is neutral.
NOTHING: Final[tuple[object, ...]] = ()

_PENALTIES: Neutral = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "best_of": (1,),
    "bad_words": ([],),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "use_beam_search": (False,),
    "prompt_logprobs": NOTHING,
}
# The ways in which peers name an adapter and this server does not: never the base.
_ADAPTERS: Neutral = {
    "adapter_id": NOTHING,  # LoRAX and TGI
    "adapter_source": NOTHING,
    "merged_adapters": NOTHING,
    "api_token": NOTHING,
    "lora_path": NOTHING,  # SGLang
    "lora": NOTHING,  # llama.cpp
    "lora_request": NOTHING,  # TensorRT-LLM
    "lora_name": NOTHING,
    "lora_id": NOTHING,
    "lora_dir": NOTHING,  # S-LoRA
}
_OPENAI: Neutral = {
    **_PENALTIES,
    **_ADAPTERS,
    "user": ANYTHING,
    "metadata": ANYTHING,
    "store": ANYTHING,
    "service_tier": ANYTHING,
    "safety_identifier": ANYTHING,
    "prompt_cache_key": ANYTHING,
    "prompt_cache_options": ANYTHING,
    "prompt_cache_retention": ANYTHING,
    "logit_bias": ({},),
    "moderation": NOTHING,
    # vLLM's own
    "request_id": ANYTHING,
    "cache_salt": ANYTHING,
    "echo": (False,),
    "allowed_token_ids": NOTHING,
    "logits_processors": ([],),
    "truncate_prompt_tokens": NOTHING,
    "structured_outputs": NOTHING,
    "guided_json": NOTHING,
    "guided_regex": NOTHING,
    "guided_choice": NOTHING,
    "guided_grammar": NOTHING,
    "return_tokens_as_token_ids": (False,),
    "return_token_ids": (False,),
    "kv_transfer_params": NOTHING,
    "vllm_xargs": ({},),
}
COMPLETION: Neutral = {
    **_OPENAI,
    "logprobs": NOTHING,  # 0 asks for those of the chosen tokens
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "add_special_tokens": (True,),
}
CHAT: Neutral = {
    **_OPENAI,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": NOTHING,
    "prediction": NOTHING,
    "web_search_options": NOTHING,
    "verbosity": ("medium",),
    "reasoning_effort": ("none",),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "add_special_tokens": (False,),
    "mm_processor_kwargs": ({},),
}
MESSAGE: Neutral = {
    "function_call": NOTHING,
    "audio": NOTHING,
    "annotations": ([],),
}
STREAM_OPTIONS: Neutral = {
    "continuous_usage_stats": (False,),
    "include_obfuscation": (False,),
}
RESPONSES: Neutral = {
    **_ADAPTERS,
    "store": (False,),  # nothing is kept here
    "previous_response_id": NOTHING,
    "conversation": NOTHING,
    "prompt": NOTHING,  # one that OpenAI keeps
    "background": (False,),
    "truncation": ("disabled",),
    "max_tool_calls": NOTHING,  # of tools that a server runs
    "context_management": ([],),
    "moderation": NOTHING,
    "image": NOTHING,
    "service_tier": ANYTHING,
    "safety_identifier": ANYTHING,
    "prompt_cache_key": ANYTHING,
    "prompt_cache_options": ANYTHING,
    "prompt_cache_retention": ANYTHING,
}
RESPONSES_TEXT: Neutral = {"verbosity": ("medium",)}
RESPONSES_REASONING: Neutral = {
    "effort": ("none",),
    "summary": ("auto",),  # there is none
    "generate_summary": ("auto",),
    "context": ("auto",),
}
RESPONSES_STREAM: Neutral = {"include_obfuscation": ANYTHING}
# What a client sends back of an answer: it says nothing to a template.
RESPONSES_ITEM: Neutral = {
    "id": ANYTHING,
    "status": ANYTHING,
    "phase": ANYTHING,
    "encrypted_content": NOTHING,
    "caller": ANYTHING,
    "namespace": NOTHING,
    "async": (False,),
}
RESPONSES_PART: Neutral = {
    "annotations": ANYTHING,
    "logprobs": ANYTHING,
    "prompt_cache_breakpoint": ANYTHING,
}
PARAMETERS: Neutral = {
    **_PENALTIES,
    **_ADAPTERS,
    "n": (1,),
    "num_beams": (1,),
    "logprobs": NOTHING,
    "decoder_input_details": (False,),
    "top_n_tokens": (0,),
    "truncate": NOTHING,
    "typical_p": (1,),
    "watermark": (False,),
}
INVOCATION: Neutral = _ADAPTERS


def refuse(field: str, value: object, neutral: Neutral, place: str = "") -> None:
    """Raises BadRequest unless `value` of a field in `neutral` changes nothing.

    `place` is what `field` stands in, with its dot."""
    passing = neutral[field]
    if value is None or passing is ANYTHING:
        return
    # To Python False is 0, but `logprobs: 0` asks for something.
    is_flag = isinstance(value, bool)
    if any(isinstance(one, bool) is is_flag and one == value for one in passing):
        return
    if field in _ADAPTERS:
        raise BadRequest(
            f"`{place}{field}` is not how an adapter is named here: say `adapter`",
            f"{place}{field}",
        )
    raise BadRequest(f"`{place}{field}` is not supported", f"{place}{field}")
