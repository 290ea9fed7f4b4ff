"""Our own view of the adapters: all that is known of each, a check, pins."""

import httpx

from hotswap.adapters.file_names import WEIGHTS_FILE
from tests.live.vllm.routes import ask, error, load, rows
from tests.servers import wait_until


def test_our_own_route_tells_all_that_is_known(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")
    before = rows(client)["sql"]

    ask(client, "sql")
    wait_until(lambda: rows(client)["sql"]["leases"] == 0)
    after = client.get("/v1/adapters/sql").json()

    assert before["residency"] in ("host", "slot", "resident")  # as `one` has its files
    assert after["requests"] == before["requests"] + 1
    assert (after["state"], after["reason"]) == ("ready", None)
    assert (after["rank"], after["pinned"], after["preload"]) == (2, False, True)
    assert after["modules"] > 0
    assert after["bytes"] > 0
    assert after["source"] == ".shelf/x"
    assert client.get("/v1/adapters/none").status_code == 404


def test_pinned_and_unpinned(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")

    pinned = client.post("/v1/adapters/sql/pin").json()
    unpinned = client.post("/v1/adapters/sql/unpin").json()
    missing = client.post("/v1/adapters/none/pin")

    assert (pinned["name"], pinned["pinned"]) == ("sql", True)
    assert unpinned["pinned"] is False
    error(missing, 404, "NotFoundError")


def test_a_folder_is_checked_without_being_served(client: httpx.Client) -> None:
    def check(src: str) -> httpx.Response:
        return client.post("/v1/adapters/validate", json={"src": src})

    good = check(".shelf/x").json()

    assert good["ok"] is True
    assert good["generation"] == rows(client)["one"]["generation"]
    assert (good["rank"], good["bytes"]) == (2, rows(client)["one"]["bytes"])
    bad = check(".shelf/cut").json()
    assert (bad["ok"], bad["code"]) == (False, "bad_weights")
    assert WEIGHTS_FILE in bad["reason"]
    listed = rows(client)["one"]
    assert " ".join(listed) == (
        "name state generation reason refusal format rank modules bytes can_merge "
        "can_mix merge_loss note warnings residency pinned preload alias aliases "
        "source composition leases requests"
    )
    both = good.keys() & listed.keys()
    assert {key: listed[key] for key in both} == {key: good[key] for key in both}
    assert len(both) == 11
    assert check("none").json()["code"] == "no_source"
    assert check("/etc").status_code == 403
    assert check("s3://x/y").status_code == 400
    assert client.post("/v1/adapters/validate", json={"path": "x"}).status_code == 400
    assert set(rows(client)) == {"one"}
