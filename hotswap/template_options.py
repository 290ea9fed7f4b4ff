"""Template options: what a chat template is told beside the messages.

The names are those of transformers' `apply_chat_template`, and so is what they mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOptions:
    """`continue_final_message` excludes `add_generation_prompt`. `variables`: others
    that the template may read (vLLM's `chat_template_kwargs`).

    `tools_text`: what is put before the conversation, as the system's words, if the
    template does not show the `tools`; None refuses such a template, "" lets it pass.
    """

    tools: _Objects | None = None
    documents: _Objects | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tools_text: str | None = ""

    def named(self) -> dict[str, Any]:
        """What every template gets, by its name there."""
        return {
            "tools": self.tools,
            "documents": self.documents,
            "add_generation_prompt": self.add_generation_prompt,
            "continue_final_message": self.continue_final_message,
        }


# What a template's variables may not be called: they would be read by those who render.
RESERVED = frozenset(
    "self template messages conversation conversations tools documents chat_template "
    "add_generation_prompt continue_final_message tokenize padding truncation "
    "max_length return_tensors return_dict return_assistant_tokens_mask "
    "tokenizer_kwargs sanitize_control_tokens".split()
)
PLAIN = TemplateOptions()
