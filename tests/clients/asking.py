"""Requests by the standard library alone: what a client's answer is compared with."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test at `url`, without a slash at the end; or one before it."""

    url: str
    key: str = "none"

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer, or the events of a stream."""
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {
                "content-type": "application/json",
                "authorization": f"Bearer {self.key}",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        if not body.get("stream"):
            return json.loads(text)
        lines = [one.removeprefix("data: ") for one in text.split("\n\n")]
        assert lines[-2:] == ["[DONE]", ""]
        return [json.loads(line) for line in lines[:-2]]

    def chat(self, adapter: str, tokens: int = 8, **more: Any) -> str:
        """What `adapter` answers to HELLO; the base must answer something else."""
        body = {"messages": HELLO, "max_tokens": tokens, "temperature": 0, **more}
        answers = [
            self.post("/v1/chat/completions", body | {"adapter": name})
            for name in (adapter, "base")
        ]
        said, base = (one["choices"][0]["message"]["content"] for one in answers)
        assert said != base
        return str(said)

    def completion(self, adapter: str, tokens: int = 8, prompt: str = "Hello") -> str:
        """The same of a prompt as it stands."""
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
        answers = [
            self.post("/v1/completions", body | {"adapter": name})
            for name in (adapter, "base")
        ]
        said, base = (one["choices"][0]["text"] for one in answers)
        assert said != base
        return str(said)

    def ran(self, adapter: str) -> int:
        """How many requests `adapter` has answered so far."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        wanted = f'adapter="{adapter}"'
        return int(
            sum(
                float(line.split()[-1])
                for line in lines
                if line.startswith("hotswap_adapter_jobs_total") and wanted in line
            )
        )
