"""Generate answers: those of DJL's routes and of TGI's and LoRAX', whole."""

from typing import Literal, NotRequired, TypedDict

Finish = Literal["eos_token", "stop_sequence", "length"]


class DJLToken(TypedDict):
    """Of a prompt's first token there is no log-probability."""

    id: int
    text: str
    log_prob: float | None


class DJLSequence(TypedDict):
    generated_text: str
    finish_reason: Finish
    generated_tokens: int
    tokens: list[DJLToken]
    top_tokens: NotRequired[list[list[DJLToken]]]


class DJLDetails(TypedDict):
    finish_reason: Finish
    generated_tokens: int
    inputs: str
    tokens: list[DJLToken]
    top_tokens: NotRequired[list[list[DJLToken]]]
    prefill: NotRequired[list[DJLToken]]
    best_of_sequences: NotRequired[list[DJLSequence]]


class DJLGenerated(TypedDict):
    generated_text: str
    details: NotRequired[DJLDetails]


class PrefillToken(TypedDict):
    id: int
    text: str
    logprob: float | None


class LikelyTGIToken(PrefillToken):
    special: bool


class TGIToken(LikelyTGIToken):
    """`alternative_tokens`: LoRAX'."""

    alternative_tokens: NotRequired[list[PrefillToken]]


class _TGIEnd(TypedDict):
    finish_reason: Finish
    generated_tokens: int
    seed: int | None
    prefill: list[PrefillToken]
    tokens: list[TGIToken]
    top_tokens: NotRequired[list[list[LikelyTGIToken]]]


class TGISequence(_TGIEnd):
    generated_text: str


class TGIDetails(_TGIEnd):
    prompt_tokens: int
    best_of_sequences: NotRequired[list[TGISequence]]


class TGIGenerated(TypedDict):
    generated_text: str
    details: NotRequired[TGIDetails]
