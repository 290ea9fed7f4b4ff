"""Patterns: the regular expressions of a config are tried where they can be ended.

PEFT gives them to Python's `re`, which can take for ever and lets no other thread run
meanwhile. So each is first tried in a process of its own, in the forms that PEFT uses
and on the names of the model: what ends in time there ends in time here.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence, Sized

from hotswap.adapters.layout import Layout
from hotswap.adapters.settings import brief, refused, strings

# Setting -> how PEFT uses its patterns: `{}` is one of them
_FORMS = {
    "target_modules": "(?:{})$",
    "exclude_modules": "(?:{})$",
    "feedforward_modules": "(?:{})$",
    "modules_to_save": r"(^|.*\.){}($|\..*)",
    "layers_to_transform": "",  # numbers, all of them compared with each name
    "layers_pattern": r"(?:^|.*?\.){}\.(?P<idx>\d+)\.",
    **dict.fromkeys(
        (
            "rank_pattern",
            "alpha_pattern",
            "lambda_pattern",
            "n_frequency_pattern",
            "block_size_pattern",
        ),
        r"(.*\.)?({})$",
    ),
}
_ONLY_AS_TEXT = ("target_modules", "exclude_modules", "feedforward_modules")
# Without any of these, nothing can be tried in two ways.
_BRANCHING = frozenset("*+?{([")
_LEAST = 1000  # entries that any setting may have
_LIMIT_S = 0.1  # of a CPU, for one pattern on all names
_WAIT_S = 10.0  # by the clock: a busy machine
# SIGPROF ends the process, even within a match.
_TRIAL = """
import json, re, signal, sys
patterns, names, limit = json.load(sys.stdin)
for number, pattern in enumerate(patterns):
    print(number, flush=True)
    signal.setitimer(signal.ITIMER_PROF, limit)
    compiled = re.compile(pattern)
    for name in names:
        compiled.match(name)
print("done", flush=True)
"""


def check_patterns(settings: Mapping[str, object], layout: Layout) -> None:
    """Raises AdapterRefused for what is no pattern, or takes too long on the model's
    names, or for far more of them than it has modules."""
    names = [*layout.linear, *layout.others]
    found = list(_patterns(settings, max(len(names), _LEAST)))
    _try([entry for entry in found if _BRANCHING.intersection(entry[1])], names)
    for setting, pattern, form in found:
        _compile(setting, pattern, form)


def _patterns(
    settings: Mapping[str, object], most: int
) -> Iterator[tuple[str, str, str]]:
    """Setting, pattern, and the whole of what PEFT matches with."""
    for setting, form in _FORMS.items():
        value = settings.get(setting)
        is_text = isinstance(value, str)
        if not is_text and isinstance(value, Sized) and len(value) > most:
            raise refused(
                "bad_config",
                f"{setting} has {len(value)} entries, and the limit is {most}",
            )
        if form and value != "all-linear" and (is_text or setting not in _ONLY_AS_TEXT):
            for pattern in strings(value):
                yield setting, pattern, form.replace("{}", pattern)


def _try(trials: Sequence[tuple[str, str, str]], names: Sequence[str]) -> None:
    if not trials:
        return
    work = json.dumps([[form for *_, form in trials], names, _LIMIT_S])
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _TRIAL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as trial:
        try:
            lines, _ = trial.communicate(work.encode(), _WAIT_S)
        except subprocess.TimeoutExpired:
            trial.kill()
            lines, _ = trial.communicate()
    said = lines.split() or [b"0"]
    if said[-1] == b"done":
        return
    setting, pattern, form = trials[int(said[-1])]
    if trial.returncode == 1:  # it raised, in time
        _compile(setting, pattern, form)
    raise refused(
        "bad_config",
        f"{setting}: {brief(pattern)} takes too long on the names of the model's "
        "modules: write it without repetition within repetition",
    )


def _compile(setting: str, pattern: str, form: str) -> None:
    try:
        re.compile(pattern)
        re.compile(form)
    except (re.error, OverflowError, RecursionError) as error:
        raise refused(
            "bad_config", f"{setting}: {brief(pattern)} is no pattern: {error}"
        ) from None
