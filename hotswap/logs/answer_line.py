"""AnswerLine: one record for each request that generates, when it is over.

Whether it finished, failed, was cancelled or refused: `message` says which. A field
that is not known, as the tokens of a request that was refused, is left out.
"""

import logging
from typing import Any

from hotswap.api.shared.request_record import RequestRecord
from hotswap.api.shared.running import Running
from hotswap.error_boundary import said
from hotswap.logs.printable import MOST_OF_FIELD, cut

LOGGER = "hotswap.answers"
log = logging.getLogger(LOGGER)

_MOST_TEXTS = 16  # of one request


class AnswerLine:
    """An observer of requests. `level`: of the logging module. `tells_texts`: whether
    prompts and answers are written, too."""

    def __init__(self, level: int, *, tells_texts: bool) -> None:
        self._level = level
        self._tells_texts = tells_texts

    def __call__(self, record: RequestRecord) -> None:
        if not log.isEnabledFor(self._level):
            return
        # Not `log.log`: to look for the caller takes a fifth of it all.
        made = logging.LogRecord(LOGGER, self._level, "", 0, record.end, (), None)
        made.fields = self._fields(record)
        log.handle(made)

    def close(self) -> None: ...

    def _fields(self, record: RequestRecord) -> dict[str, Any]:
        running, stats, error = record.running, record.stats, record.error
        told: dict[str, Any] = {
            "code": record.code or None,
            "route": record.route,
            "key": record.key_name,
            "adapter": cut(record.adapter, MOST_OF_FIELD),
            "generation": cut(record.generation, MOST_OF_FIELD),
            "mode": record.mode,
        }
        if running is not None:
            told["prompt_tokens"] = running.prompt_tokens
            told["cached_tokens"] = running.cached_tokens
            told["generated_tokens"] = running.generated
        if stats:
            # Of several jobs: until the first began, and all swaps in their time.
            told["queue_s"] = round(min([each.queue_s for each in stats]), 6)
            told["swaps"] = max([each.swaps for each in stats])
        if (first_token_s := record.first_token_s) is not None:
            told["first_token_s"] = round(first_token_s, 6)
        told["seconds"] = round(record.seconds, 6)
        told["finish"] = record.finish
        if error is not None:
            told["error"] = said(error)
        if running is not None and self._tells_texts:
            told |= _texts(running)
        return {n: v for n, v in told.items() if v is not None and v != ""}


def _texts(running: Running) -> dict[str, Any]:
    """The first ones, cut where they are long."""
    prompts = {
        id(request.prompt): request.prompt.text or request.prompt.written(tokenizer)
        for request, tokenizer in zip(running.requests, running.tokenizers, strict=True)
    }
    return {
        "prompts": [cut(text) for text in prompts.values()][:_MOST_TEXTS],
        "texts": [cut(text) for text in running.texts or ()][:_MOST_TEXTS],
    }
