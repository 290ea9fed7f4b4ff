"""Vocabulary: a token for each byte of UTF-8, and ChatML's special ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

START, END = "<|im_start|>", "<|im_end|>"
_SPECIAL = (START, END)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """`offset_mapping`: of each token, the characters it stands for."""

    input_ids: list[int]
    offset_mapping: list[tuple[int, int]]

    def __getitem__(self, name: Any) -> Any:
        return getattr(self, name)


class Vocabulary:
    """As much of transformers' PreTrainedTokenizerFast as a `Tokenizer` uses, without
    what takes a second to load."""

    chat_template = None  # it is told to the `Tokenizer`
    is_fast = True

    def __init__(self) -> None:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        model = models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[])
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens(list(_SPECIAL))
        self.backend_tokenizer = backend
        ids = backend.get_vocab()
        self.start, self.end = ids[START], ids[END]
        self.eos_token, self.eos_token_id = END, self.end
        self.special_tokens_map = {"eos_token": END}
        self.added_tokens_decoder = backend.get_added_tokens_decoder()
        self.all_special_ids = [self.start, self.end]

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __call__(self, text: str, **_: bool) -> Encoded:
        found = self.backend_tokenizer.encode(text)
        return Encoded(found.ids, found.offsets)

    def id_of(self, character: str) -> int:
        """Of one that is a single byte."""
        (token,) = self(character).input_ids
        return token

    def get_vocab(self) -> dict[str, int]:
        found: dict[str, int] = self.backend_tokenizer.get_vocab()
        return found

    def convert_ids_to_tokens(self, token: int) -> str:
        return str(self.backend_tokenizer.id_to_token(token))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, **_: Any) -> str:
        text = self.backend_tokenizer.decode(
            list(ids), skip_special_tokens=skip_special_tokens
        )
        return str(text)
