"""Where requests go: to who holds their adapter, to others when that one is full; and
never to another adapter, whatever dies or is replaced."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.ray.crew import GENERATION, REPLICA, Crew
from tests.ray.load import Answer, Load, completed, streamed
from tests.servers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SOURCES = [f"a{n}" for n in range(8)]
REQUESTS = 10_000


@pytest.fixture(scope="module", autouse=True)
def stocked(crew: Crew, adapter_folders: Path) -> None:
    for name in SOURCES:
        assert crew.load(name, adapter_folders / name).status_code == 200


def test_one_adapter_stays_where_it_is_warm_while_there_is_room(crew: Crew) -> None:
    answers = [crew.complete("a1") for _ in range(40)]

    (most,) = Counter(a.headers[REPLICA] for a in answers).most_common(1)
    assert most[1] >= 38  # all but those before a report


def test_a_hot_adapter_is_served_by_all_replicas(crew: Crew) -> None:
    """Ray's own multiplexing keeps it on one (ray issue 65691)."""
    hot = Load(crew, lambda client, n: streamed(client, "a1", 60), threads=48)
    with hot:
        wait_until(lambda: len(hot.answers) > 300, limit_s=120)

    assert not hot.errors
    shares = Counter(answer.replica for answer in hot.answers)
    assert set(shares) == set(crew.replicas())
    assert min(shares.values()) > 0.25 * len(hot.answers)


def test_a_request_may_name_its_replica(crew: Crew) -> None:
    for replica in crew.replicas():
        assert crew.on(replica, "/v1/status").json()["model"] == "tiny"


class Names:
    """Names that are given away all the time, and what each may stand for now."""

    def __init__(self, crew: Crew, stock: Path) -> None:
        self.crew, self._stock = crew, stock
        self.may: dict[str, set[str]] = {}
        self.said: dict[str, str] = {}  # what each generation says
        for number, source in enumerate(SOURCES):
            answer = crew.complete(source)
            self.said[answer.headers[GENERATION]] = answer.json()["choices"][0]["text"]
            self.give(f"n{number}", source)

    def give(self, name: str, source: str) -> None:
        """From now on it may be this one, and when the answer comes nothing else."""
        row = self.crew.client.get(f"/v1/adapters/{source}").json()
        new = row["generation"]
        self.may[name] = {*self.may.get(name, ()), new}
        answer = self.crew.load(name, self._stock / source, load_inplace=True)
        if answer.status_code == 200:
            self.may[name] = {new}

    def is_wrong(self, name: str, before: set[str], answer: Answer) -> bool:
        adapter, generation = answer.ran
        may = before | self.may[name]
        is_right = adapter == name and generation in may
        return not is_right or answer.text != self.said[generation]


@pytest.mark.timeout(900)
def test_no_answer_of_ten_thousand_is_another_adapters(
    crew: Crew, adapter_folders: Path
) -> None:
    """While replicas are killed and names are given away: by its headers and by its
    text, which every adapter has its own of."""
    names = Names(crew, adapter_folders)
    assert len(set(names.said.values())) == len(SOURCES)
    wrong: list[Answer] = []
    codes: Counter[int] = Counter()
    lock = threading.Lock()

    def ask(client: object, number: int) -> Answer:
        name = f"n{number * 7 % len(SOURCES)}"
        before = set(names.may[name])
        answer = completed(client, name)  # type: ignore[arg-type]
        with lock:
            codes[answer.code] += 1
            if answer.code == 200 and names.is_wrong(name, before, answer):
                wrong.append(answer)
        return answer

    load = Load(crew, ask, threads=12)
    kills, given = 0, 0
    with load:
        while codes[200] < REQUESTS and not wrong:
            names.give(f"n{given % 8}", SOURCES[given * 3 % 8])
            given += 1
            if codes[200] > (kills + 1) * REQUESTS / 4 and crew.running == 2:
                crew.kill(crew.replicas()[kills % 2])
                kills += 1

    assert not wrong, wrong[0]
    assert kills >= 3
    assert given > 50
    assert not load.errors
    assert set(codes) <= {200, 503}
    assert codes[503] <= kills * 12  # of each kill, one for each client at most
