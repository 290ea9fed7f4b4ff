"""What `hotswap serve` writes: for people, or for programs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from tests.servers import NO_TLS, free_port, spawned, wait_until


def serve(tmp_path: Path, *arguments: str) -> str:
    """What a server of one good and one bad adapter writes, that answers once."""
    port, log, adapters = free_port(), tmp_path / "log", tmp_path / "adapters"
    for name in ("pirate", "x\nFORGED"):
        (adapters / name).mkdir(parents=True)
        (adapters / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (adapters / "pirate" / WEIGHTS_FILE).write_bytes(b"weights")
    command = [sys.executable, "-m", "hotswap.cli", "serve", "echo", *arguments]
    command += ["--port", str(port), "--adapters", str(adapters)]
    url = f"http://127.0.0.1:{port}"
    with spawned(command, port, log) as server:
        models = f"{url}/v1/models"
        wait_until(lambda: "pirate" in httpx.get(models, verify=NO_TLS).text)
        body = {"prompt": "abc", "adapter": "pirate"}
        headers = {"x-request-id": "r1"}
        answer = httpx.post(
            f"{url}/v1/completions", json=body, headers=headers, verify=NO_TLS
        )
        assert answer.status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == -signal.SIGTERM
    return log.read_text()


def test_for_people_a_banner_says_where_it_is_and_what_it_chose(tmp_path: Path) -> None:
    lines = serve(tmp_path).splitlines()

    (place,) = [n for n, line in enumerate(lines) if "ready url=" in line]
    below = lines[place + 1 :]
    banner = below[: [line[0] for line in below].index("2")]
    assert len(banner) < 14
    told = {line.split()[0]: line for line in banner}
    assert told["page"].split()[1].startswith("http://127.0.0.1:")
    assert "echo" in told["model"]
    assert "adapters" in told
    assert "as asked" not in told["slots"]
    assert "auto" in told["KV"]
    assert "affinity" in told["policy"]
    (answer,) = [line for line in lines if "hotswap.answers finished" in line]
    assert "adapter=pirate" in answer
    assert answer.endswith("request_id=r1")
    assert not [line for line in lines if line.startswith("FORGED")]


def test_for_programs_every_line_is_an_object(tmp_path: Path) -> None:
    told = [
        json.loads(line) for line in serve(tmp_path, "--log-format=json").splitlines()
    ]

    (ready,) = [each for each in told if "slots" in each]
    assert ready["message"].startswith("ready url=http://127.0.0.1:")
    assert (ready["model"], ready["policy"]) == ("echo", "affinity")
    (answer,) = [each for each in told if each["logger"] == "hotswap.answers"]
    assert (answer["message"], answer["code"]) == ("finished", 200)
    assert (answer["adapter"], answer["request_id"]) == ("pirate", "r1")
    assert {"uvicorn.error", "hotswap.serve"} <= {each["logger"] for each in told}


def test_for_programs_a_start_that_fails_is_an_object_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hotswap.cli", "serve", "/no/such", "--log-format=json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert told["level"] == "critical"
    assert "/no/such" in told["message"]
