"""Two libraries for structured output: `python -m benchmarks.grammars --suite FOLDER`.

Each that is installed (llguidance, xgrammar) compiles every schema of FOLDER, one draft
of json-schema-org/JSON-Schema-Test-Suite (`tests/draft2020-12`), for the tokenizer of
the demo model, and walks every instance of it, token by token: what fits has to be
taken, what does not must not be. Both write blanks as they like, as served here.

Told, for each library, in seconds of the CPU: its import; its vocabulary, of 49,152
tokens and of 131,072 (the same and made-up ones); the schemas that it compiles and
those that it refuses; median and 99th percentile of a compilation and of a mask;
instances that were taken and do not fit (wrong), and such as fit and were not taken
(missed), of the schemas compiled.

Hides: masks are filled one at a time; a schema that a library
refuses is counted against it nowhere else.
"""

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hotswap.demo.__main__ import model_file
from hotswap.model.load import convert_gguf

LARGE = 131_072


class Llguidance:
    name = "llguidance"

    def __init__(self, tokenizer: PreTrainedTokenizerFast, size: int) -> None:
        self._lib: Any = importlib.import_module("llguidance")
        text = tokenizer.backend_tokenizer.to_str()
        end = tokenizer.eos_token_id
        self._tokenizer = self._lib.LLTokenizer(text, n_vocab=size, eos_token=end)
        self._mask = np.zeros((size + 31) // 32, np.int32)

    def compiled(self, schema: Any) -> Any:
        text = json.dumps(schema)
        grammar = self._lib.LLMatcher.grammar_from_json_schema(text)
        found = self._lib.LLMatcher(self._tokenizer, grammar, log_level=0)
        if found.is_error():
            raise ValueError(found.get_error())
        return found

    def matcher(self, compiled: Any) -> Any:
        return compiled.deep_copy()

    def fill(self, matcher: Any) -> None:
        matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)

    def takes(self, matcher: Any, token: int) -> bool:
        return bool(matcher.consume_token(token))

    def may_end(self, matcher: Any) -> bool:
        return bool(matcher.is_accepting())


class Xgrammar:
    name = "xgrammar"

    def __init__(self, tokenizer: PreTrainedTokenizerFast, size: int) -> None:
        self._lib: Any = importlib.import_module("xgrammar")
        info = self._lib.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size)
        self._compiler = self._lib.GrammarCompiler(
            info, max_threads=1, cache_enabled=False
        )
        self._mask = torch.zeros(1, (size + 31) // 32, dtype=torch.int32)
        self._end = tokenizer.eos_token_id

    def compiled(self, schema: Any) -> Any:
        return self._compiler.compile_json_schema(json.dumps(schema), strict_mode=False)

    def matcher(self, compiled: Any) -> Any:
        return self._lib.GrammarMatcher(compiled)

    def fill(self, matcher: Any) -> None:
        matcher.fill_next_token_bitmask(self._mask)

    def takes(self, matcher: Any, token: int) -> bool:
        return bool(matcher.accept_token(token))

    def may_end(self, matcher: Any) -> bool:
        return bool(matcher.accept_token(self._end))


def cases(folder: Path) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Schemas of a draft, and instances with what they are."""
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text()):
            if isinstance(group["schema"], dict):
                yield group["schema"], group["tests"]


def seconds(do: Callable[[], Any]) -> tuple[float, Any]:
    """Of the CPU, on all threads: other work on the machine does not count."""
    begun = time.process_time()
    made = do()
    return time.process_time() - begun, made


def enlarged(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The same with made-up tokens, each of two real ones."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocab: dict[str, int] = state["model"]["vocab"]
    words = [word for word in vocab if word.isalpha()]
    number = 0
    while len(vocab) < LARGE:
        first, second = words[number % 9973], words[number * 7 % len(words)]
        vocab.setdefault(first + second, len(vocab))
        number += 1
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        eos_token=tokenizer.eos_token,
    )


def measured(
    kind: Any, tokenizer: PreTrainedTokenizerFast, suite: Path
) -> dict[str, Any]:
    library_s, _ = seconds(lambda: importlib.import_module(kind.name))
    size = len(tokenizer)
    vocabulary_s, library = seconds(lambda: kind(tokenizer, size))
    large = enlarged(tokenizer)
    large_s, _ = seconds(lambda: kind(large, len(large)))
    compile_s: list[float] = []
    mask_s: list[float] = []
    refused = wrong = missed = 0
    for schema, instances in cases(suite):
        try:
            took, compiled = seconds(partial(library.compiled, schema))
        except Exception:  # each library has errors of its own
            refused += 1
            continue
        compile_s.append(took)
        for instance in instances:
            text = json.dumps(instance["data"], ensure_ascii=False)
            is_taken = walked(library, compiled, tokenizer, text, mask_s)
            wrong += is_taken and not instance["valid"]
            missed += instance["valid"] and not is_taken
    return {
        "library": kind.name,
        "import_s": library_s,
        "vocabulary_s": vocabulary_s,
        "vocabulary_large_s": large_s,
        "compiled": len(compile_s),
        "refused": refused,
        "compile_ms": [1e3 * each for each in middle(compile_s)],
        "mask_us": [1e6 * each for each in middle(mask_s)],
        "wrong": wrong,
        "missed": missed,
    }


def walked(
    library: Any,
    compiled: Any,
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    mask_s: list[float],
) -> bool:
    """Whether the grammar takes the whole text. Adds what its masks took."""
    matcher = library.matcher(compiled)
    for token in tokenizer(text, add_special_tokens=False).input_ids:
        mask_s.append(seconds(partial(library.fill, matcher))[0])
        if not library.takes(matcher, token):
            return False
    return bool(library.may_end(matcher))


def middle(values: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", type=Path, required=True)
    suite = parser.parse_args().suite
    folder = convert_gguf(model_file())
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    rows = [
        measured(kind, tokenizer, suite)
        for kind in (Llguidance, Xgrammar)
        if find_spec(kind.name) is not None
    ]
    for row in rows:
        for key, value in row.items():
            told = value if isinstance(value, str | int) else np.round(value, 3)
            print(f"{key:20} {told}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
