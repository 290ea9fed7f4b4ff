"""The rows of /v1/adapters: what is wrong with a folder, its format, where it lies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app, config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app as echo
from tests.servers import Live, settings, wait_until


def test_a_refusal_has_its_code_until_the_folder_is_mended(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(tmp_path), "quiet_s": 0.05},
    }
    with (
        Live(echo.build(config.load(None, told))) as server,
        server.client() as client,
    ):

        def state() -> str:
            rows = client.get("/v1/adapters").json()["data"]
            return str(rows[0]["state"]) if rows else ""

        wait_until(lambda: state() == "failed")
        refused = client.get("/v1/adapters/one").json()
        (tmp_path / "one" / WEIGHTS_FILE).write_bytes(b"weights")
        wait_until(lambda: state() == "ready")
        mended = client.get("/v1/adapters/one").json()

    assert (refused["refusal"], refused["format"]) == ("missing_file", None)
    assert (mended["refusal"], mended["reason"]) == (None, None)
    assert mended["format"] == "LORA"


@pytest.fixture
def mixed(model_folder: Path, adapter_folders: Path) -> Iterator[httpx.Client]:
    built = app.build(settings(model_folder, adapter_folders, policy="fcfs-mixed"))
    with Live(built) as server, server.client() as client:
        wait_until(lambda: client.get("/v1/adapters/a1").status_code == 200)
        yield client


def test_what_has_run_mixed_lies_in_the_stacks(mixed: httpx.Client) -> None:
    body = {"prompt": "Hello", "adapter": "a1", "max_tokens": 2}
    assert mixed.post("/v1/completions", json=body).status_code == 200

    rows = {row["name"]: row for row in mixed.get("/v1/adapters").json()["data"]}

    assert rows["a1"]["residency"] == "stack"
    assert rows["a2"]["residency"] == "host"
    assert mixed.get("/v1/status").json()["stacked"] == [rows["a1"]["generation"]]
