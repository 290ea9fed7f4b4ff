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

log = logging.getLogger("hotswap.answers")

_MOST_TEXTS = 16  # of one request


class AnswerLine:
    """An observer of requests. `level`: of the logging module. `tells_texts`: whether
    prompts and answers are written, too."""

    def __init__(self, level: int, *, tells_texts: bool) -> None:
        self._level = level
        self._tells_texts = tells_texts

    def __call__(self, record: RequestRecord) -> None:
        if log.isEnabledFor(self._level):
            log.log(self._level, record.end, extra={"fields": self._fields(record)})

    def close(self) -> None: ...

    def _fields(self, record: RequestRecord) -> dict[str, Any]:
        running, stats = record.running, record.stats
        told: dict[str, Any] = {
            "code": record.code or None,
            "route": record.route,
            "key": record.key_name,
            "adapter": record.adapter,
            "generation": record.generation,
            "mode": record.mode,
        }
        if running is not None:
            told |= {
                "prompt_tokens": running.prompt_tokens,
                "cached_tokens": running.cached_tokens,
                "generated_tokens": running.generated,
            }
        if stats:
            # Of several jobs: until the first began, and all swaps in their time.
            told["queue_s"] = min(each.queue_s for each in stats)
            told["swaps"] = max(each.swaps for each in stats)
        told |= {
            "first_token_s": record.first_token_s,
            "seconds": record.seconds,
            "finish": record.finish,
            "error": said(record.trouble) if record.trouble else None,
        }
        if running is not None and self._tells_texts:
            told |= _texts(running)
        return {
            name: _short(value)
            for name, value in told.items()
            if value is not None and value != ""
        }


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value, MOST_OF_FIELD)
    return round(value, 6) if isinstance(value, float) else value


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
