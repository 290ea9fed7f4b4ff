"""Load: clients in threads, until they are told to stop, and what became of each."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.ray.crew import ADAPTER, GENERATION, REPLICA, Crew


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    text: (
        str  # of a stream: what its tokens say, and the error's message if it ended so
    )
    headers: httpx.Headers
    is_whole: bool = True

    @property
    def replica(self) -> str:
        return str(self.headers.get(REPLICA, ""))

    @property
    def ran(self) -> tuple[str, str]:
        """Adapter and generation."""
        return self.headers[ADAPTER], self.headers[GENERATION]


@dataclass
class Load:
    """`ask`: one request, by its number, on a client of the thread's own."""

    crew: Crew
    ask: Callable[[httpx.Client, int], Answer]
    threads: int = 4
    answers: list[Answer] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = iter(range(1_000_000))
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._most: int | None = None
        self._threads = [
            threading.Thread(target=self._run) for _ in range(self.threads)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _run(self) -> None:
        with self.crew.new_client() as client:
            while not self._stopping.is_set():
                with self._lock:
                    number = next(self._numbers)
                try:
                    self.answers.append(self.ask(client, number))
                except Exception as error:
                    self.errors.append(error)


def completed(client: httpx.Client, adapter: str, **body: object) -> Answer:
    body = {"model": adapter, "prompt": "Hello", "max_tokens": 8, **body}
    answer = client.post("/v1/completions", json={"temperature": 0, **body})
    if answer.status_code != 200:
        return Answer(answer.status_code, answer.text, answer.headers)
    text = answer.json()["choices"][0]["text"]
    return Answer(200, text, answer.headers)


def streamed(client: httpx.Client, adapter: str, tokens: int) -> Answer:
    """A stream of so many tokens."""
    body = {"model": adapter, "prompt": "Hello", "max_tokens": tokens, "stream": True}
    body |= {"temperature": 0, "ignore_eos": True}
    texts, is_whole = [], False
    with client.stream("POST", "/v1/completions", json=body) as answer:
        if answer.status_code != 200:
            return Answer(answer.status_code, answer.read().decode(), answer.headers)
        for line in answer.iter_lines():
            is_whole |= line == "data: [DONE]"
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                said = event.get("error", {}).get("message")
                texts.append(said or event["choices"][0]["text"])
    return Answer(200, "".join(texts), answer.headers, is_whole)
