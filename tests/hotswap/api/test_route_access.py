"""Every route is of exactly one class, and a new one cannot be forgotten."""

from litestar import Litestar

from hotswap.api.shared import route_access
from hotswap.api.shared.route_access import ACCESS, Access, access
from tests.fake_server import FakeEngine, app_of


def routes(app: Litestar) -> set[str]:
    """Method and template of each; OPTIONS is the router's own, HEAD is a GET."""
    found = set()
    for route in app.routes:
        for method in route.methods:
            if method not in ("OPTIONS", "HEAD"):
                found.add(f"{method} {route.path_format}")
    return found


def test_every_route_is_in_the_table_and_no_other() -> None:
    assert routes(app_of(FakeEngine())) == set(ACCESS)


def test_no_route_is_of_two_classes() -> None:
    # By name: a dict would hide it.
    listed = [
        route
        for name in ("_OPEN", "_INFERENCE", "_ADMIN")
        for route in getattr(route_access, name)
    ]

    assert len(set(listed)) == len(listed) == len(ACCESS) - 1


def test_what_nobody_has_listed_takes_an_admin_key() -> None:
    assert access("GET", "/v1/new") is Access.ADMIN
    assert access("PATCH", "/health") is Access.ADMIN


def test_head_is_as_get_and_options_is_open() -> None:
    assert access("HEAD", "/v1/status") is Access.ADMIN
    assert access("HEAD", "/ping") is Access.OPEN
    assert access("OPTIONS", "/v1/status") is Access.OPEN


def test_whatever_changes_something_takes_an_admin_key() -> None:
    """Of the routes that are no GET, only those that answer a prompt do not."""
    others = {
        route
        for route, who in ACCESS.items()
        if who is not Access.ADMIN and not route.startswith("GET ")
    }

    assert others == {
        *("POST /v1/completions", "POST /v1/chat/completions", "POST /v1/responses"),
        *("POST /", "POST /generate", "POST /generate_stream"),
        *("POST /invocations", "POST /predictions/{model}"),
        *("POST /endpoints/{model}/invocations", "POST /models/{model}/invoke"),
        "POST /endpoints/{model}/invocations-response-stream",
        *("POST /tokenize", "POST /detokenize"),
    }
