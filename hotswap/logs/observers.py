"""Observers: who is told of each request that generates, by the section [log]."""

import importlib
import logging
from collections.abc import Mapping

from hotswap.api.shared.request_record import Observer
from hotswap.log_options import LogConfig
from hotswap.logs.answer_line import AnswerLine
from hotswap.logs.traces_wanted import traces_wanted


def observers(config: LogConfig, environment: Mapping[str, str]) -> list[Observer]:
    """In the order in which they are told. Raises StartFailed for traces that cannot
    be sent."""
    found: list[Observer] = []
    if config.answers != "off":
        level = logging.getLevelNamesMapping()[config.answers.upper()]
        found.append(AnswerLine(level, tells_texts=config.prompts))
    if traces_wanted(config, environment):
        traces = importlib.import_module("hotswap.logs.traces")
        found.append(traces.traces(environment))
    return found
