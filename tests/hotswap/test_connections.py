"""Connections: what is idle, slow or deaf is closed, and descriptors are kept back."""

import logging
import resource
import subprocess
import sys
import threading

import pytest

from hotswap.descriptors import room
from tests.raw_http import GET, POST, answer, is_over, rest, served
from tests.servers import wait_until


@pytest.mark.parametrize("head", [b"G", GET[:-2], POST[:30]])
def test_a_head_that_never_comes_whole_is_not_waited_for(head: bytes) -> None:
    with served(head_s=0.1) as server, server.connect(head) as sock:
        told = rest(sock)
        assert told.startswith(b"HTTP/1.1 408")
        assert b"within 0.1 s (`limits.head_s`)" in told
        assert server.answers == {408: 1}


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    with served(head_s=0.1) as server, server.connect() as sock:
        assert rest(sock) == b""
        assert not server.answers


def test_a_head_that_trickles_has_no_more_time_than_one_that_stands_still() -> None:
    with served(head_s=0.3) as server, server.connect() as sock:
        sock.settimeout(0.02)
        sent = 0
        while not is_over(sock) and sent < 1000:
            sock.sendall(b"G")
            sent += 1

        assert 2 < sent < 1000


@pytest.mark.parametrize("second", [b"", GET[:9]], ids=["idle", "half a head"])
def test_a_connection_between_two_requests_has_its_time_too(second: bytes) -> None:
    with served(idle_s=0.1, head_s=0.1) as server, server.connect(GET + second) as sock:
        found = rest(sock)

        assert found.startswith(b"HTTP/1.1 200")
        assert server.answers == ({200: 1, 408: 1} if second else {200: 1})


def test_a_connection_that_is_used_stays() -> None:
    with served(head_s=1, idle_s=1, linger_s=1) as server, server.connect() as sock:
        for _ in range(60):
            sock.sendall(GET)
            assert b"200" in answer(sock)
            threading.Event().wait(0.03)

        assert server.answers == {200: 60}


def test_a_body_that_nobody_wants_is_not_waited_for_but_one_that_ends_does_no_harm(
) -> None:  # fmt: skip
    wanted = POST.replace(b"take", b"refuse")
    with served(linger_s=0.3) as server:
        with server.connect(wanted % 10 + b"12345") as sock:
            assert answer(sock).startswith(b"HTTP/1.1 201")
            sock.sendall(b"67890" + GET)
            assert answer(sock).startswith(b"HTTP/1.1 200")

        with server.connect(wanted % 10 + b"12345") as sock:
            assert rest(sock).startswith(b"HTTP/1.1 201")


def test_who_cannot_be_answered_is_told_of_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unread = POST.replace(b"take", b"refuse") % 10 + b"12345"
    sent = {"idle_s": GET, "linger_s": unread, "write_s": GET.replace(b"hi", b"much")}
    with caplog.at_level(logging.DEBUG, "hotswap.connections"):
        for limit, said in sent.items():
            with served(**{limit: 0.1}) as server, server.connect(said) as sock:
                wait_until(lambda: server.answers.total() == 1)
                wait_until(lambda: server.open == 0)
                sock.close()

    ours = [r for r in caplog.records if r.name == "hotswap.connections"]
    told = [record.getMessage() for record in ours]
    assert told == [f"connection closed by limits.{limit}" for limit in sent]


def test_a_client_that_does_not_read_its_answer_is_left() -> None:
    ask = GET.replace(b"/hi", b"/much")
    with served(write_s=0.2) as server, server.connect(ask) as deaf:
        wait_until(lambda: server.answers[200] == 1)
        wait_until(lambda: server.open == 0)
        deaf.close()


def test_the_connection_that_is_idle_longest_gives_way_to_a_newcomer() -> None:
    with served(connections=3) as server:
        socks = []
        for _ in range(3):
            socks.append(server.connect(GET))
            assert b"200" in answer(socks[-1])
        socks[0].sendall(GET)  # not the oldest any more
        assert b"200" in answer(socks[0])

        with server.connect(GET) as newcomer:
            assert b"200" in answer(newcomer)
            assert rest(socks[1]) == b""
        for kept in (socks[0], socks[2]):
            kept.sendall(GET)
            assert b"200" in answer(kept)
        for sock in socks:
            sock.close()


def test_a_newcomer_is_refused_at_once_if_all_others_are_being_answered() -> None:
    with served(connections=2) as server:
        busy = [server.connect(POST % 10) for _ in range(2)]
        wait_until(lambda: len(server.server.server_state.tasks) == 2)

        with server.connect(GET) as newcomer:
            found = rest(newcomer)

        assert found.startswith(b"HTTP/1.1 503")
        assert b"2 connections are open (`limits.connections`)" in found
        assert b"retry-after" in found
        assert server.answers[503] == 1
        for sock in busy:
            sock.sendall(b"0123456789")
            assert b"201" in answer(sock)
            sock.close()


def test_a_body_that_is_long_in_coming_keeps_no_newcomer_out() -> None:
    with served(connections=2, late_body_s=0.2) as server:
        late = [server.connect(POST % 10 + b"0") for _ in range(2)]
        wait_until(lambda: len(server.server.server_state.tasks) == 2)
        threading.Event().wait(0.3)

        with server.connect(GET) as newcomer:
            assert b"200" in answer(newcomer)
            told = rest(late[0])
        assert told.startswith(b"HTTP/1.1 408")
        assert b"`limits.late_body_s`" in told
        late[1].sendall(b"123456789")
        assert b"201" in answer(late[1])
        for sock in late:
            sock.close()


@pytest.mark.parametrize(
    "sent", [b"\x00\x01\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"x" * 100_000]
)
def test_what_is_no_http_is_counted_like_any_other_answer(sent: bytes) -> None:
    with served() as server, server.connect(sent) as sock:
        assert b"400" in rest(sock)[:20]
        assert server.answers == {400: 1}


@pytest.mark.parametrize("used", [10, 25, 60, 200])
@pytest.mark.parametrize("descriptors", [64, 256, 1024, 4096, 1 << 20])
def test_descriptors_are_left_for_the_adapters_files(
    descriptors: int, used: int
) -> None:
    most, at_once = room(descriptors, used)

    assert most >= 1
    assert 1 <= at_once <= 512
    if used + 8 < descriptors:
        left = descriptors - used - most - at_once
        assert left >= min(64, (descriptors - used) // 2)


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    code = (
        "import resource; from hotswap.descriptors import descriptors; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512)); "
        "most = descriptors(); "
        "print(most, resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 512

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "512 (512, 512)"
