"""In process: our runner and OpenVINO GenAI's pipeline on the same prompts.

OpenVINO GenAI has no server, so both generate here: 16 prompts of 80 tokens, 64 tokens
each, prefill included. Used by `benchmarks.peers`.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from random import Random

from benchmarks.serve import IDS
from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams

SEQUENCES, PROMPT, OUTPUT = 16, 80, 64

# Run by OpenVINO's own python: export, adapter file, seed -> tokens/s, one JSON line.
OPENVINO = f"""
import json, random, sys, time
import numpy, openvino, openvino_genai as genai

folder, adapter, seed = sys.argv[1:]
rng = random.Random(seed)
config = genai.GenerationConfig(
    max_new_tokens={OUTPUT}, do_sample=False, ignore_eos=True
)

def prompts():
    ids = [rng.choices(range({IDS.start}, {IDS.stop}), k={PROMPT})
           for _ in range({SEQUENCES})]
    ids = numpy.array(ids, dtype=numpy.int64)
    return genai.TokenizedInputs(
        openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids))
    )

def tokens_per_s(pipeline, **adapters):
    for _ in range(2):  # the first warms up
        asked = prompts()
        start = time.perf_counter()
        answer = pipeline.generate(asked, config, **adapters)
        took = time.perf_counter() - start
    tokens = sum(map(len, answer.tokens))
    assert tokens == {SEQUENCES * OUTPUT}, tokens
    return tokens / took

found = dict(bare=tokens_per_s(genai.LLMPipeline(folder, "CPU")))
one = genai.AdapterConfig(genai.Adapter(adapter), 1.0)
pipeline = genai.LLMPipeline(folder, "CPU", adapters=one)
found["adapter"] = tokens_per_s(pipeline, adapters=one)
print(json.dumps(found))
"""


class InProcess:
    """Our runner and OpenVINO's pipeline, each told a seed for its prompts."""

    def __init__(self, model: Path, adapter: Path, environment: Path) -> None:
        self._runner = EagerExecutor(
            load(str(model), None, "cpu"),
            slots=1,
            kv_tokens=SEQUENCES * (PROMPT + OUTPUT),
        )
        self._generation = read(adapter, self._runner.layout)
        self._file = str(adapter / "adapter_model.safetensors")
        self._python = str(environment / "bin/python")
        self._export = str(adapter.parent.parent / "openvino")
        export = [str(environment / "bin/optimum-cli"), "export", "openvino"]
        export += ["--task", "text-generation-with-past", "--weight-format", "fp16"]
        subprocess.run(
            [*export, "--model", str(model), self._export],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def theirs(self, seed: int) -> dict[str, float]:
        command = [self._python, "-c", OPENVINO, self._export, self._file, str(seed)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
        return found

    def ours(self, seed: int) -> dict[str, float]:
        found = {}
        for name, generation in (("bare", None), ("adapter", self._generation)):
            self._runner.weights.activate(generation)
            self._tokens_per_s(seed, generation)  # warms up, as theirs does
            found[name] = self._tokens_per_s(seed, generation)
        return found

    def _tokens_per_s(self, seed: int, generation: Generation | None) -> float:
        random = Random(seed)
        tokens = [random.choices(IDS, k=PROMPT) for _ in range(SEQUENCES)]
        for job in range(SEQUENCES):
            self._runner.open(job, SamplingParams())
        position = 0
        start = time.perf_counter()
        for _ in range(OUTPUT):
            rows = [
                Row(
                    job=job,
                    tokens=tokens[job],
                    position=position,
                    generation=generation,
                    wants_logits=True,
                    blocks=own_blocks(job, PROMPT + OUTPUT),
                )
                for job in range(SEQUENCES)
            ]
            logits = self._runner.forward(rows, mixed=False)
            position += len(tokens[0])
            tokens = [[token] for token in logits.argmax(-1).tolist()]
        took = time.perf_counter() - start
        for job in range(SEQUENCES):
            self._runner.close(job)
        return SEQUENCES * OUTPUT / took
