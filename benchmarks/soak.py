"""What a server holds after a while: `python -m benchmarks.soak --minutes 10`.

A tiny model, five clients that ask for ten adapters with prompts of many lengths, and
these replaced by new contents, one after another, all the time. Prints the resident
memory of the server's process every ten seconds, at the end that of the last minute
against that of the second. Flat is 1.05 or less.
Hides: what a large model's tensors, of megabytes each, make of the allocator.
"""

import argparse
import itertools
import json
import os
import random
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx
import torch
from safetensors.torch import load_file, save

from benchmarks.servers import server
from tests import tiny

CLIENTS, ADAPTERS = 5, 10
EVERY_S = 10.0


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def pid_of(port: int) -> int:
    """Of the process that listens there."""
    line = next(
        line
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    )
    inode = f"socket:[{line.split()[9]}]"
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) == inode:
                return int(descriptor.parts[2])
        except OSError:
            continue
    raise SystemExit(f"nobody listens on port {port}")


def ask(url: str, seed: int, until: float, asked: "itertools.count[int]") -> None:
    """One client: short answers of some adapter, one after another."""
    draw = random.Random(seed)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        while time.monotonic() < until:
            name = f"a{draw.randrange(ADAPTERS)}"
            prompt = "hello " * draw.randrange(1, 40)
            body = {"model": name, "prompt": prompt, "max_tokens": 16}
            answer = client.post("/v1/completions", json=body)
            if answer.status_code not in (200, 503):
                raise SystemExit(f"{name}: {answer.status_code} {answer.text}")
            next(asked)


def put(folder: Path, like: Path, seed: int) -> None:
    """Weights of its own into an adapter's folder, file by file as copied."""
    draw = torch.Generator().manual_seed(seed)
    tensors = load_file(like / "adapter_model.safetensors")
    noise = {k: torch.randn(t.shape, generator=draw) * 0.1 for k, t in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    config = (like / "adapter_config.json").read_bytes()
    for name, content in {
        "adapter_config.json": config,
        "adapter_model.safetensors": save(noise),
    }.items():
        (folder / f".{name}").write_bytes(content)
        (folder / f".{name}").rename(folder / name)


def replace(adapters: Path, like: Path, until: float, pause_s: float) -> None:
    """A new content under some name, again and again."""
    draw = random.Random(0)
    for seed in itertools.count(ADAPTERS):
        if time.monotonic() > until:
            return
        put(adapters / f"a{draw.randrange(ADAPTERS)}", like, seed)
        time.sleep(pause_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause-s", type=float, default=0.8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        model = tiny.save_model(root / "model")
        like = tiny.save_adapter(root / "like", "llama", seed=0)
        for number in range(ADAPTERS):
            put(root / "adapters" / f"a{number}", like, number)
        with server(
            "ours", model, root / "adapters", Path(), rank=4, dtype="float32"
        ) as started:
            url = started.url
            pid = pid_of(int(url.rpartition(":")[2]))
            begin = time.monotonic()
            until = begin + 60 * args.minutes
            asked: itertools.count[int] = itertools.count()
            threads = [
                threading.Thread(target=ask, args=(url, n, until, asked), daemon=True)
                for n in range(CLIENTS)
            ]
            threads.append(
                threading.Thread(
                    target=replace,
                    args=(root / "adapters", like, until, args.pause_s),
                    daemon=True,
                )
            )
            for thread in threads:
                thread.start()
            held = []
            while time.monotonic() < until:
                time.sleep(EVERY_S)
                held.append(resident_mb(pid))
                print(
                    f"{time.monotonic() - begin:6.0f} s  {held[-1]:7.0f} MB", flush=True
                )
            minute = int(60 / EVERY_S)
            second, last = held[minute : 2 * minute], held[-minute:]
            ratio = statistics.median(last) / statistics.median(second or held[:1])
            print(json.dumps({"requests": next(asked), "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
