"""What the operator's LoRA options let in, on a running server."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app, served_model
from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.errors import StartFailed
from scheduler import BASE, Mode, Scheduler, Step
from scheduler.decision import Decision
from tests import tiny
from tests.servers import Live, settings, wait_until

pytestmark = pytest.mark.slow


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


def found(
    model: Path,
    directory: Path,
    adapters: dict[str, object] | None = None,
    dtype: str = "float32",
    **lora: Any,
) -> dict[str, dict[str, Any]]:
    """All adapters, as a server with these options lists them."""
    configured = settings(model, directory, dtype, adapters=adapters, lora=lora)
    count = len(list(directory.iterdir()))
    with (
        Live(app.build(configured)) as server,
        server.client() as client,
    ):

        def rows() -> list[dict[str, Any]]:
            return list(client.get("/v1/adapters").json()["data"])

        wait_until(lambda: len(rows()) == count)
        return {row["name"]: row for row in rows()}


def test_without_options_all_are_served(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory)

    assert {row["state"] for row in rows.values()} == {"ready"}


def test_a_higher_rank_is_refused(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory, max_lora_rank=4)

    assert rows["high"]["state"] == "failed"
    assert "rank 8; the limit is 4" in rows["high"]["reason"]
    assert rows["small"]["state"] == rows["wide"]["state"] == "ready"


def test_other_modules_may_not_be_adapted(model_folder: Path, directory: Path) -> None:
    rows = found(model_folder, directory, target_modules=["q_proj", "proj"])

    assert rows["wide"]["state"] == "failed"
    assert "v_proj may not be adapted" in rows["wide"]["reason"]
    assert rows["small"]["state"] == rows["high"]["state"] == "ready"


@pytest.mark.parametrize(("option", "most"), [(1, 1), (2, 2), ("auto", 3)])
def test_a_mixed_step_holds_so_many_adapters(
    option: object,
    most: int,
    model_folder: Path,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Watched(Scheduler):
        def decide(self, now: float) -> Decision:
            decision = super().decide(now)
            if isinstance(decision, Step) and decision.plan.mode is Mode.MIXED:
                seen.append(len(decision.rows.keys() - {BASE}))
            return decision

    monkeypatch.setattr(served_model, "Scheduler", Watched)
    configured = settings(
        model_folder, directory, policy="fcfs-mixed", lora={"max_loras": option}
    )
    names = ["high", "small", "wide"]
    asked = {"max_new_tokens": 24, "ignore_eos_token": True}
    with (
        Live(app.build(configured)) as server,
        server.client() as client,
    ):
        wait_until(lambda: len(client.get("/adapters").json()["adapters"]) == 3)
        body = {"inputs": ["x"] * 3, "adapters": names, "parameters": asked}
        answer = client.post("/invocations", json=body)

    assert answer.status_code == 200, answer.text
    assert max(seen) == most


def test_a_module_that_is_rewritten_is_adapted_too(
    model_folder: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "adapters"
    tiny.save_adapter(
        directory / "dora", "llama", 4, target_modules=["v_proj"], use_dora=True
    )

    served = found(model_folder, directory)["dora"]
    refused = found(model_folder, directory, target_modules=["q_proj"])["dora"]

    assert (served["state"], served["can_mix"]) == ("ready", False)
    assert refused["state"] == "failed"
    assert "v_proj may not be adapted" in refused["reason"]


def test_larger_files_are_refused(model_folder: Path, directory: Path) -> None:
    sizes = {
        folder.name: max(file.stat().st_size for file in folder.iterdir())
        for folder in directory.iterdir()
    }
    most = sorted(sizes.values())[-2]

    rows = found(model_folder, directory, {"max_bytes": most})

    for name, size in sizes.items():
        assert rows[name]["state"] == ("ready" if size <= most else "failed")
    assert any(row["state"] == "failed" for row in rows.values())


def test_what_a_merge_would_lose_is_served_mixed_only(
    model_folder: Path, tmp_path: Path
) -> None:
    # Updates about as large as the gaps between the weights' bfloat16 numbers
    directory = tmp_path / "adapters"
    tiny.save_adapter(directory / "faint", "llama", 5, strength=0.02)

    usual = found(model_folder, directory, dtype="bfloat16")["faint"]
    loose = found(model_folder, directory, {"max_merge_loss": 1.0}, "bfloat16")["faint"]

    assert (usual["can_merge"], usual["can_mix"]) == (False, True)
    assert "mixed only" in usual["note"]
    assert 0.5 < usual["merge_loss"] < 1
    assert loose["can_merge"] is True


def test_an_adapter_of_another_model_is_warned_about_or_refused(
    model_folder: Path, directory: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(directory / "small", tmp_path / "adapters" / "small")
    config = json.loads((copy / CONFIG_FILE).read_text())
    config["base_model_name_or_path"] = "somebody/else"
    (copy / CONFIG_FILE).write_text(json.dumps(config))

    warned = found(model_folder, tmp_path / "adapters")["small"]
    refused = found(model_folder, tmp_path / "adapters", {"other_base": "refuse"})

    assert warned["state"] == "ready"
    assert "'else'" in warned["warnings"][0]
    assert refused["small"]["state"] == "failed"
    assert "'else'" in refused["small"]["reason"]


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
        server.client() as client,
    ):
        listed = client.get("/v1/adapters").json()["data"]
        answer = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 2})

    assert listed == []
    assert answer.status_code == 200
    assert "adapter found" not in caplog.text


def test_what_to_know_of_an_adapter_is_in_the_answer_of_its_load(
    model_folder: Path, directory: Path, tmp_path: Path
) -> None:
    for name in ("plain", "odd"):
        shutil.copytree(directory / "small", tmp_path / ".stock" / name)
    config = json.loads((tmp_path / ".stock" / "odd" / CONFIG_FILE).read_text())
    config["base_model_name_or_path"] = "somebody/else"
    (tmp_path / ".stock" / "odd" / CONFIG_FILE).write_text(json.dumps(config))

    def told(name: str, client: httpx.Client) -> tuple[dict[str, Any], str]:
        djl = client.post("/adapters", params={"name": name, "src": f".stock/{name}"})
        body = {"lora_name": f"{name}2", "lora_path": f".stock/{name}"}
        vllm = client.post("/v1/load_lora_adapter", json=body)
        assert djl.status_code == vllm.status_code == 200
        return djl.json(), vllm.text

    built = app.build(settings(model_folder, tmp_path))
    with Live(built) as server, server.client() as client:
        plain, odd = told("plain", client), told("odd", client)

    added = "Success: LoRA adapter '{}2' added successfully."
    assert plain == ({"status": "Adapter plain registered"}, added.format("plain"))
    assert odd[0]["status"] == "Adapter odd registered"
    assert "'else'" in odd[0]["warnings"][0]
    assert odd[1] == f"{added.format('odd')}\nWarning: {odd[0]['warnings'][0]}"
