"""Ranges of sampling parameters, as requests and sidecars say them. The only table.

As vLLM's, where OpenAI's are narrower: its clients send both.
"""

from typing import Annotated

from msgspec import Meta

MaxTokens = Annotated[int, Meta(ge=1, le=1 << 24)]
AnswerTokens = Annotated[int, Meta(ge=0, le=1 << 24)]  # 0: a prompt is only scored
MinTokens = Annotated[int, Meta(ge=0, le=1 << 24)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=1 << 31)]
MinP = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]  # of presence and of frequency
RepetitionPenalty = Annotated[float, Meta(gt=0, le=100)]
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Priority = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Deadline = Annotated[float, Meta(gt=0, le=1e6)]  # seconds
Bias = Annotated[float, Meta(ge=-100, le=100)]
TokenId = Annotated[int, Meta(ge=0)]
Copies = Annotated[int, Meta(ge=1, le=64)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]  # likeliest tokens, at each place
CacheSalt = Annotated[str, Meta(min_length=1, max_length=256)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
StopStrings = Annotated[list[StopString], Meta(max_length=16)]
# Each costs a row of every step: a thousand of them some milliseconds.
AllowedTokens = Annotated[list[TokenId], Meta(min_length=1, max_length=1024)]
BadWords = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=64)
]
