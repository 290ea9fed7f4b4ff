"""What a replica publishes, and what routers and the autoscaler make of it."""

import pytest

from hotswap import config
from hotswap.echo import app
from hotswap.ray.autoscaling import QueueAge, wanted
from hotswap.ray.publishing import Publisher, report
from scheduler.routing import Router
from tests.hotswap.sharing.crew import Crew, make


def test_an_idle_server_publishes_that_nobody_waits() -> None:
    made = app.build(config.load(None, {"model": {"path": "echo"}}))
    publisher = Publisher(made.state.server, 64)

    told = report("r", publisher.stats(100.0), 50.0)

    assert (told.at_s, told.jobs, told.seats, told.wait_s) == (50.0, 0, 64, 0.0)
    assert publisher.load() == {"queue_age_s": 0.0, "taken": 0.0}
    assert not told.is_ready  # it has not started


def test_names_endpoints_and_what_ran_are_published(tmp_path: object) -> None:
    with Crew(tmp_path) as crew:  # type: ignore[arg-type]
        make(crew.stock / "a", "one")
        asked = {"template": "adapter", "adapter": "n", "url": str(crew.stock / "a")}
        crew.clients[0].post("/workflows", params=asked)
        crew.clients[0].post("/predictions/n", json={"inputs": "x"})

        publisher = Publisher(crew.states[0], 64)
        told = publisher.stats(1.0)
        # The name is another generation's, and another name has this one's.
        crew.load(0, "m", "a")
        make(crew.stock / "b", "two")
        crew.load(0, "n", "b", load_inplace=True)
        later = publisher.stats(1.5)

    assert "n" in told["warm"]
    assert "n" not in later["warm"]
    assert "m" in later["warm"]
    assert told["stands_for"] == {"n": "n"}
    assert told["bases"] == ["base", "echo"]
    router = Router()
    router.report(report("r", told, 2.0))
    assert router.choose("n") == "r"


@pytest.mark.parametrize(
    ("ages", "taken", "replicas"),
    [
        ([0.0, 0.0], 1.9, 2.0),  # full, and nobody waits
        ([3.0, 1.0], 2.0, 2.0),  # on the average as it may be
        ([3.0, 3.0], 2.0, 3.0),  # half as long again
        ([90.0, 90.0], 2.0, 4.0),  # not more than twice
        ([0.1, 0.1], 0.5, 1.0),  # one has room for all
        ([0.1, 1.0], 0.5, 2.0),  # but somebody waits
        ([], 0.0, 1.0),  # nothing heard, nothing there
    ],
)
def test_replicas_follow_the_age_of_queues(
    ages: list[float], taken: float, replicas: float
) -> None:
    assert wanted(2, ages, taken, target_s=2.0) == replicas


def test_the_policy_reads_what_replicas_publish() -> None:
    class Seen:
        current_num_replicas = 2
        aggregated_metrics = {  # noqa: RUF012
            "queue_age_s": {"a": 3.0, "b": 3.0},
            "taken": {"a": 1.0, "b": 1.0},
        }

    assert QueueAge(target_age_s=2.0)(Seen())[0] == 3.0


def test_the_last_replica_stays() -> None:
    assert wanted(1, [0.0], 0.0, target_s=2.0) == 1
