"""Tokenizer: text into tokens and back, of the model or of one generation's own.

A generation that brings none is written and read in the model's.
"""

from collections.abc import Collection, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from hotswap.errors import BadRequest


class Tokenizer:
    """Thread-safe for reading: the event loop encodes, the engine thread decodes."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        key: str = "",
        tokens: int | None = None,
    ) -> None:
        """`key`: a digest of the files it comes from. `tokens`: as many does the model
        have weights for; those beyond are refused. None: for all."""
        # Not their number: some ids may be nobody's.
        size = max(tokenizer.get_vocab().values(), default=-1) + 1
        self.key = key
        self.inner = tokenizer
        self._size = size if tokens is None else min(size, tokens)
        self.unknown = size - self._size  # tokens that the model lacks

    @property
    def eos(self) -> frozenset[int]:
        """The token that ends a text, if it has one."""
        token = self.inner.eos_token_id
        return frozenset({token} if isinstance(token, int) else ())

    def encode(self, text: str) -> list[int]:
        """Token ids as the model was trained to see a plain text."""
        return list(self.inner(text).input_ids)

    def check(self, ids: Collection[int], field: str) -> None:
        """Raises BadRequest if the model lacks one of `ids`."""
        if (largest := max(ids, default=0)) >= self._size:
            raise BadRequest(f"`{field}`: there is no token {largest}", field)

    def encode_chat(
        self, messages: list[dict[str, str]], template: str | None = None
    ) -> list[int]:
        """Token ids of a conversation in a template, or in the tokenizer's own.

        transformers renders it in a sandbox. Raises BadRequest.
        """
        template = template or self.inner.chat_template
        if not template:
            raise BadRequest(
                "this model has no chat template: use /v1/completions", "messages"
            )
        try:
            text = self.inner.apply_chat_template(
                _as_known(messages, template),
                chat_template=template,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise BadRequest(f"the chat template says: {error}", "messages") from None
        return list(self.inner(text, add_special_tokens=False).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        text = self.inner.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text


def _as_known(messages: list[dict[str, str]], template: object) -> list[dict[str, str]]:
    """OpenAI's role `developer` is the `system` of a template that does not know it."""
    if "developer" in str(template):
        return messages
    system = {"role": "system"}
    return [m | system if m["role"] == "developer" else m for m in messages]
