"""Tokenizer: text into tokens and back, of the model or of one generation's own.

A generation that brings none is written and read in the model's. Whatever a stranger's
tokenizer or template does to the libraries, it is an error of that request.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from hotswap.error_boundary import error_boundary
from hotswap.errors import BadRequest, StepFailed
from hotswap.template_options import PLAIN, TemplateOptions
from hotswap.templates import RENDERER
from hotswap.token_bytes import TokenBytes


class Tokenizer:
    """Thread-safe for reading: the event loop encodes, the engine thread decodes."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        key: str = "",
        tokens: int | None = None,
        template: str | None = None,
    ) -> None:
        """`tokenizer`: transformers' PreTrainedTokenizerBase, which takes a second to
        load. `key`: a digest of the files it comes from. `tokens`: as many does the
        model have weights for; those beyond are refused. None: for all. `template`: a
        stranger's chat template; None is the model's own, if it has one."""
        vocabulary = tokenizer.get_vocab()
        # Not their number: some ids may be nobody's.
        size = max(vocabulary.values(), default=-1) + 1
        self.key = key
        self.inner = tokenizer
        self.template = template
        self.longest = max(map(len, vocabulary), default=1)  # characters of one token
        self._size = size if tokens is None else min(size, tokens)
        self.unknown = size - self._size  # tokens that the model lacks
        end = tokenizer.eos_token_id
        self._eos = frozenset({end} if isinstance(end, int) else ())
        self._bytes = TokenBytes(tokenizer)
        self._special = frozenset(tokenizer.all_special_ids)

    @property
    def eos(self) -> frozenset[int]:
        """The token that ends a text, if it has one."""
        return self._eos

    @cached_property
    def special_texts(self) -> tuple[str, ...]:
        """The special tokens, as they are written where a text keeps them."""
        added = self.inner.added_tokens_decoder.values()
        return tuple(token.content for token in added if token.special)

    @property
    def tokens(self) -> int:
        """One more than the largest id that the model has weights for."""
        return self._size

    def encode(self, text: str, *, is_whole: bool = False) -> list[int]:
        """Token ids as the model was trained to see a plain text. `is_whole`: its
        special tokens are written in it. Raises BadRequest."""
        with error_boundary(
            lambda said: BadRequest(f"the tokenizer cannot read it: {said}")
        ):
            return list(self.inner(text, add_special_tokens=not is_whole).input_ids)

    def check(self, ids: Collection[int], field: str) -> None:
        """Raises BadRequest if the model lacks one of `ids`."""
        if (largest := max(ids, default=0)) >= self._size:
            raise BadRequest(f"`{field}`: there is no token {largest}", field)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        template: str | None = None,
        options: TemplateOptions = PLAIN,
    ) -> str:
        """A conversation in a stranger's template, or in the tokenizer's own.

        Raises BadRequest and NoRenderer. The model's own is as trusted as the model is
        and rendered here; a stranger's in a process that can be ended.
        """
        text = self._rendered(messages, template, options)
        if not options.tools or options.tools_text == "":
            return text
        if text != self._rendered(messages, template, replace(options, tools=None)):
            return text
        if options.tools_text is None:
            raise BadRequest(
                "this chat template does not show `tools` to the model: force the call "
                "by `tool_choice`, or have the operator name a `tool_parser`",
                "tools",
            )
        told = _with_system(messages, options.tools_text)
        return self._rendered(told, template, replace(options, tools=None))

    def template_for(self, options: TemplateOptions) -> str:
        """The text of the template that `render` takes if it is given none; "" if there
        is none."""
        if self.template is not None:
            return self.template
        own: object = self.inner.chat_template
        if isinstance(own, Mapping):  # several, by their use, as transformers has them
            named = "tool_use" if options.tools else "default"
            own = own.get(named, own.get("default"))
        return own if isinstance(own, str) else ""

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        template: str | None,
        options: TemplateOptions,
    ) -> str:
        taken = template or self.template_for(options)
        if not taken:
            raise BadRequest(
                "this model has no chat template: use /v1/completions", "messages"
            )
        known = _as_known(messages, taken)
        if template or self.template is not None:
            return RENDERER.render(taken, known, self._names, options)
        with error_boundary(
            lambda said: BadRequest(f"the chat template says: {said}", "messages")
        ):
            text = self.inner.apply_chat_template(
                known,
                chat_template=taken,
                tokenize=False,
                **options.named(),
                **options.variables,
            )
            assert isinstance(text, str)
            return text

    def decode(self, ids: Sequence[int], *, skips_special: bool = True) -> str:
        """Their text. Raises StepFailed."""
        with error_boundary(
            lambda said: StepFailed(f"the tokenizer cannot write a token: {said}")
        ):
            text = self.inner.decode(
                list(ids),
                skip_special_tokens=skips_special,
                clean_up_tokenization_spaces=False,
            )
            assert isinstance(text, str)
            return text

    def token_bytes(self, token: int) -> bytes:
        """What one token adds to a text, special ones too; it may be a part of a
        character. Raises StepFailed."""
        with error_boundary(
            lambda said: StepFailed(f"the tokenizer cannot write a token: {said}")
        ):
            return self._bytes.of(token)

    def token_text(self, token: int) -> str:
        """The same as text; U+FFFD stands for what is no whole character."""
        return self.token_bytes(token).decode(errors="replace")

    def is_special(self, token: int) -> bool:
        """Whether texts leave it out, unless they are asked not to."""
        return token in self._special

    @property
    def _names(self) -> dict[str, Any]:
        """What a template may use beside the messages."""
        special = self.inner.special_tokens_map.items()
        return {
            key: list(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in special
        }


def _with_system(
    messages: Sequence[Mapping[str, Any]], text: str
) -> list[Mapping[str, Any]]:
    """The conversation with `text` as the first of the system's words."""
    first = messages[0]
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": text}, *messages]
    joined = {**first, "content": f"{text}\n\n{first['content']}"}
    return [joined, *messages[1:]]


def _as_known(
    messages: Sequence[Mapping[str, Any]], template: object
) -> list[dict[str, Any]]:
    """OpenAI's role `developer` is the `system` of a template that does not know it."""
    knows = "developer" in str(template)
    system = {"role": "system"}
    return [
        {**m} if knows or m["role"] != "developer" else {**m, **system}
        for m in messages
    ]
