"""What the operator's LoRA options let in, on a running server."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.errors import StartFailed
from tests import tiny
from tests.conftest import Live, settings, wait_until


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`high` has rank 8, `wide` adapts q_proj and v_proj, `small` is rank 2 on both."""
    root = tmp_path_factory.mktemp("adapters")
    queries = ["q_proj"]
    tiny.save_adapter(root / "high", "llama", 1, r=8, target_modules=queries)
    tiny.save_adapter(root / "small", "llama", 2, r=2, target_modules=queries)
    tiny.save_adapter(
        root / "wide", "llama", 3, r=2, target_modules=["q_proj", "v_proj"]
    )
    return root


def found(model: Path, directory: Path, **lora: Any) -> dict[str, dict[str, Any]]:
    """All adapters, as a server with these options lists them."""
    with (
        Live(app.build(settings(model, directory, lora=lora))) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):

        def rows() -> list[dict[str, Any]]:
            return list(client.get("/v1/adapters").json()["data"])

        wait_until(lambda: len(rows()) == 3)
        return {row["name"]: row for row in rows()}


def test_without_options_all_are_served(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory)

    assert {row["state"] for row in rows.values()} == {"ready"}


def test_a_higher_rank_is_refused(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory, max_lora_rank=4)

    assert rows["high"]["state"] == "failed"
    assert "rank 8 is above 4" in rows["high"]["reason"]
    assert rows["small"]["state"] == rows["wide"]["state"] == "ready"


def test_other_modules_may_not_be_adapted(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory, target_modules=["q_proj", "proj"])

    assert rows["wide"]["state"] == "failed"
    assert "v_proj may not be adapted" in rows["wide"]["reason"]
    assert rows["small"]["state"] == rows["high"]["state"] == "ready"


def test_host_memory_holds_so_many_and_all_are_served(
    model_folder: Path, directory: Path
) -> None:
    rows = found(model_folder, directory, max_cpu_loras=1)

    assert {row["state"] for row in rows.values()} == {"ready"}
    assert sum(row["residency"] == "disk" for row in rows.values()) == 2


def test_another_dtype_than_the_models_ends_the_start(
    model_folder: Path, directory: Path
) -> None:
    with pytest.raises(StartFailed, match=r"lora\.lora_dtype"):
        app.build(settings(model_folder, directory, lora={"lora_dtype": "bfloat16"}))


def test_a_directory_of_adapters_is_not_even_watched_without_lora(
    model_folder: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configured = settings(model_folder, directory, lora={"enable_lora": False})

    with (
        caplog.at_level(logging.INFO, "hotswap"),
        Live(app.build(configured)) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        listed = client.get("/v1/adapters").json()["data"]
        answer = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 2})

    assert listed == []
    assert answer.status_code == 200
    assert "adapter found" not in caplog.text
