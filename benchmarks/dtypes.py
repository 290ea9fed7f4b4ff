"""Dtypes: in which type, and with which kernels, this machine computes a model fastest.

    python -m benchmarks.dtypes [--model FOLDER]

What `--dtype auto` decides by at load, as a table: milliseconds of all products of a
step, and of the two loads that they are weighed by. The shapes alone count, so the
weights stay as they are. A last line of JSON.
"""

import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM

from hotswap.demo.__main__ import model_file
from hotswap.model.eager.kernel_choice import time_silu, time_ways, ways_of
from hotswap.model.eager.products import products_of
from hotswap.model.eager.timing import STEPS, apart_from, best
from hotswap.model.load import convert_gguf


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dtypes")
    parser.add_argument("--model", help="default: SmolLM2-135M-Instruct")
    folder = parser.parse_args().model or str(convert_gguf(model_file()))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    dtypes = list(dict.fromkeys([model.dtype, torch.float32]))
    products, ways = products_of(model), ways_of(model, dtypes)
    begun = time.perf_counter()
    table = time_ways(products, ways)
    seconds = time.perf_counter() - begun
    way = best(table)
    print(f"| ms at rows | {' | '.join(map(str, STEPS))} | two loads, s |")
    print("|---|" + "---|" * (len(STEPS) + 1))
    for each, rows in table.items():
        times = [f"{rows[n] * 1e3:.1f}" if n in rows else "-" for n in STEPS]
        is_whole = len(rows) == len(STEPS)
        load = sum(STEPS[n] * s for n, s in rows.items()) if is_whole else None
        mark = "**" if each == way else ""
        total = "-" if load is None else f"{load:.1f}"
        print(f"| {mark}{each}{mark} | {' | '.join(times)} | {total} |")
    found = {
        "chosen": str(way),
        "took_s": round(seconds, 2),
        "threads": torch.get_num_threads(),
        "ms": {
            str(w): {n: s * 1e3 for n, s in rows.items()} for w, rows in table.items()
        },
    }
    if way.packed_for:
        silu = time_silu(products, way)
        found["silu_us"] = {
            how: {n: round(s * 1e6) for n, s in rows.items()}
            for how, rows in silu.items()
        }
        found["silu_apart_from"] = apart_from(**silu)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
