"""`vllm bench serve`, with its own defaults, in turn over the adapters."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from tests.clients.asking import Server
from tests.clients.conftest import FOLDER, example

# `vllm` itself wants a package of that name, which the wheel for CPUs is not; this is
# all that it runs.
BENCH = """\
import argparse, sys
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""


def test_the_page(server: Server, tmp_path: Path) -> None:
    _, text = example("vllm bench serve")
    text = text.replace("http://localhost:8080", server.url).replace("\\\n", " ")
    words = shlex.split(text.replace("MODEL", str(FOLDER / "tiny")))
    assert words[:3] == ["vllm", "bench", "serve"]
    before = {name: server.ran(name) for name in ("pirate", "sql")}

    command = [sys.executable, "-c", BENCH, *words[3:], "--lora-assignment"]
    command += ["round-robin", "--save-result", "--result-dir", str(tmp_path)]
    command += ["--result-filename", "result.json"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["completed"], result["failed"]) == (6, 0)
    for name, earlier in before.items():
        assert server.ran(name) >= earlier + 3
