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

# Other ways to generate.
_BEAMS: Neutral = {
    "use_beam_search": (False,),
    "length_penalty": (1,),  # of beams
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
    **_BEAMS,
    **_ADAPTERS,
    "user": ANYTHING,
    "metadata": ANYTHING,
    "store": ANYTHING,
    "service_tier": ANYTHING,
    "safety_identifier": ANYTHING,
    "prompt_cache_key": ANYTHING,
    "prompt_cache_options": ANYTHING,
    "prompt_cache_retention": ANYTHING,
    "moderation": NOTHING,
    # vLLM's own
    "request_id": ANYTHING,
    "session_id": ANYTHING,
    "logits_processors": ([],),
    "logprobs_mode": ("raw_logprobs",),
    "logprob_token_ids": NOTHING,
    "kv_transfer_params": NOTHING,
    "ec_transfer_params": NOTHING,
    "vllm_xargs": ({},),
    "repetition_detection": NOTHING,
    "thinking_token_budget": (-1,),
    "stream_interval": (1,),
    "watermarking": (False,),
    "routed_experts_prompt_start": ANYTHING,  # no experts are told of
    "return_token_offsets": (False,),
    "return_mm_kwargs": ANYTHING,  # of a route that is not here
    "ignore_eos_token": (False,),  # LoRAX' name of `ignore_eos`
}
COMPLETION: Neutral = {
    **_OPENAI,
    "suffix": ("",),
    "prompt_embeds": NOTHING,
}
CHAT: Neutral = {
    **_OPENAI,
    "best_of": (1,),
    "echo": (False,),  # vLLM's, another than a completion's
    "return_prompt_text": (False,),
    "media_io_kwargs": ({},),
    "modalities": (["text"],),
    "audio": NOTHING,
    "prediction": NOTHING,
    "web_search_options": NOTHING,
    "verbosity": ("medium",),
    "reasoning_effort": ("none",),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "mm_processor_kwargs": ({},),
    "tool_prompt": NOTHING,  # TGI's and LoRAX', in words before the tools
    "guideline": NOTHING,  # LoRAX', a variable of its templates
}
MESSAGE: Neutral = {
    "function_call": NOTHING,
    "audio": NOTHING,
    "annotations": ([],),
}
# vLLM's, of a tool and of its function.
TOOL: Neutral = {
    "defer_loading": (False,),
}
STREAM_OPTIONS: Neutral = {
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
    "access_programs": NOTHING,
    "background_options": NOTHING,
    "service_tier": ANYTHING,
    "safety_identifier": ANYTHING,
    "prompt_cache_key": ANYTHING,
    "prompt_cache_options": ANYTHING,
    "prompt_cache_retention": ANYTHING,
    # vLLM's own
    "request_id": ANYTHING,
    "enable_response_messages": (False,),
    "previous_input_messages": NOTHING,
    "media_io_kwargs": ({},),
    "mm_processor_kwargs": ({},),
    "kv_transfer_params": NOTHING,
    "vllm_xargs": ({},),
}
RESPONSES_TOOL: Neutral = {
    "defer_loading": (False,),
    "async": (False,),
    "allowed_callers": (["direct"],),
    "output_schema": NOTHING,
}
RESPONSES_TEXT: Neutral = {"verbosity": ("medium",)}
RESPONSES_REASONING: Neutral = {
    "effort": ("none",),
    "summary": ("auto",),  # there is none
    "generate_summary": ("auto",),
    "context": ("auto",),
    "mode": ("standard",),
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
    "async_": (False,),  # the same, as OpenAI's Python library dumps it
}
RESPONSES_PART: Neutral = {
    "annotations": ANYTHING,
    "logprobs": ANYTHING,
    "prompt_cache_breakpoint": ANYTHING,
}
PARAMETERS: Neutral = {
    **_BEAMS,
    **_ADAPTERS,
    "spaces_between_special_tokens": (True,),
    "prompt_logprobs": NOTHING,
    "num_beams": (1,),
    "early_stopping": (False,),  # of beams
    "min_length": (0, 1),  # TensorRT-LLM's `min_tokens`; there is always a token
    "bad_sequences": ([],),  # its `bad_words`
    "typical_p": (1,),
    "watermark": (False,),
}
INVOCATION: Neutral = {
    **_ADAPTERS,
    "requestType": NOTHING,  # of stateful sessions
}
TOKENIZE: Neutral = {
    **_ADAPTERS,
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "chat_template": NOTHING,
    "chat_template_kwargs": ({},),
    "media_io_kwargs": ({},),
    "mm_processor_kwargs": ({},),
    "tools": ([],),
    "parameters": ({},),  # TGI's
}
# TGI's and LoRAX': there `adapter_id` and `merged_adapters` name an adapter.
TGI_PARAMETERS: Neutral = {
    "lora_path": NOTHING,
    "lora": NOTHING,
    "lora_request": NOTHING,
    "lora_name": NOTHING,
    "lora_id": NOTHING,
    "lora_dir": NOTHING,
    "api_token": ANYTHING,  # for a hub, from which nothing is taken here
    "typical_p": (1,),
    "watermark": (False,),
    "apply_chat_template": (False,),
}


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
