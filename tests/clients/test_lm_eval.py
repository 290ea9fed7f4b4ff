"""lm-evaluation-harness: what it measures here is what it measures with PEFT."""

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
import lm_eval
from lm_eval.tasks import TaskManager

from tests.clients.asking import Server
from tests.clients.conftest import FOLDER, Snippet

TASKS = Path(__file__).parent / "tasks"
MODEL, PIRATE = FOLDER / "tiny", FOLDER / "adapters" / "pirate"


@cache
def by_peft(chat: bool = False) -> Any:
    """The samples by lm-eval's own model, with the same adapter: the oracle."""
    asked = {"pretrained": MODEL, "peft": PIRATE, "dtype": "float32"}
    tasks = ["words"] if chat else ["choices", "words", "text"]
    return evaluated("hf", asked, tasks, device="cpu", apply_chat_template=chat)


def evaluated(kind: str, asked: dict[str, Any], tasks: list[str], **more: Any) -> Any:
    """What each item's answers are, by task, and the `results`."""
    with contextlib.chdir(TASKS):  # the tasks' data are named relative to them
        done = lm_eval.simple_evaluate(
            model=kind,
            model_args={name: str(value) for name, value in asked.items()},
            tasks=[f"hotswap_{task}" for task in tasks],
            task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
            batch_size=1,
            bootstrap_iters=0,
            **more,
        )
    samples = done["samples"].items()
    return {
        name: [
            sample["resps"] for sample in sorted(told, key=lambda one: one["doc_id"])
        ]
        for name, told in samples
    } | {"results": done["results"]}


def asked(server: Server, route: str, adapter: str = "pirate") -> dict[str, Any]:
    return {"model": adapter, "base_url": f"{server.v1}/{route}", "max_retries": 1}


def same_likelihoods(mine: Any, theirs: Any) -> None:
    for one, other in zip(mine, theirs, strict=True):
        for [(mine_one, is_best)], [(their_one, is_theirs)] in zip(
            one, other, strict=True
        ):
            assert mine_one == pytest.approx(their_one, abs=2e-3)
            assert is_best == is_theirs


def test_the_page(snippet: Snippet, server: Server) -> None:
    before = server.ran("pirate")
    with contextlib.chdir(TASKS):
        assert "hotswap_choices" in snippet("lm-eval")
    assert server.ran("pirate") > before


def test_scores_by_log_likelihood_are_those_of_peft(server: Server) -> None:
    here = evaluated(
        "local-completions",
        asked(server, "completions") | {"tokenizer": MODEL, "num_concurrent": 2},
        ["choices"],
    )
    same_likelihoods(here["hotswap_choices"], by_peft()["hotswap_choices"])
    scores, oracle = here["results"], by_peft()["results"]
    for metric in ("acc,none", "acc_norm,none"):
        assert scores["hotswap_choices"][metric] == oracle["hotswap_choices"][metric]

    base = evaluated(
        "local-completions",
        asked(server, "completions", "tiny") | {"tokenizer": MODEL},
        ["choices"],
    )
    assert base["hotswap_choices"] != here["hotswap_choices"]


def test_what_is_generated_is_what_peft_generates(server: Server) -> None:
    here = evaluated(
        "local-completions",
        asked(server, "completions") | {"tokenizer": MODEL},
        ["words"],
    )
    assert here["hotswap_words"] == by_peft()["hotswap_words"]


def test_perplexities_with_the_remote_tokenizer(server: Server) -> None:
    here = evaluated(
        "local-completions",
        asked(server, "completions") | {"tokenizer_backend": "remote"},
        ["text"],
    )["hotswap_text"]
    for [[one]], [[other]] in zip(here, by_peft()["hotswap_text"], strict=True):
        assert one == pytest.approx(other, abs=5e-3)


def test_chats_are_those_of_peft(server: Server) -> None:
    here = evaluated(
        "local-chat-completions",
        asked(server, "chat/completions"),
        ["words"],
        apply_chat_template=True,
    )
    assert here["hotswap_words"] == by_peft(chat=True)["hotswap_words"]
