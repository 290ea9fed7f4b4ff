"""The processes that render strangers' chat templates end, whatever happens."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from hotswap.errors import BadRequest, NoRenderer
from hotswap.templates import Renderer
from tests.hotswap.renderers import ENDLESS, MESSAGES, PLAIN, brief, is_running
from tests.servers import wait_until


def test_nobody_waits_for_a_template_that_never_ends() -> None:
    renderer = Renderer(deadline_s=30)
    ended = []

    def endless(template: str) -> None:
        # One that has not begun when the end comes is not rendered now.
        with pytest.raises((BadRequest, NoRenderer)):
            renderer.render(template, MESSAGES, {})
        ended.append(template)

    threads = [threading.Thread(target=endless, args=(t,)) for t in ENDLESS]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(renderer.children) == len(ENDLESS))

    assert renderer.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]
    assert not ended
    children = renderer.children
    assert len(children) == len(ENDLESS) + 1
    renderer.close()  # as a shutdown does
    for thread in threads:
        thread.join(10)
    assert len(ended) == len(ENDLESS)
    wait_until(lambda: not any(map(is_running, children)))
    assert not renderer.children


def wait_for_the_end_of(child: int) -> None:
    wait_until(lambda: not is_running(child))


def test_a_child_that_was_killed_is_replaced() -> None:
    renderer = brief()
    assert not renderer.children, "none without need"
    for _ in range(3):
        assert renderer.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]
        (child,) = renderer.children
        os.kill(child, signal.SIGKILL)
        wait_for_the_end_of(child)
    renderer.close()


def test_that_no_process_is_to_be_had_is_an_error_of_that_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    renderer = brief()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(NoRenderer, match="cannot be rendered now") as refused:
            renderer.render(PLAIN, MESSAGES, {})
    assert refused.value.is_passing

    assert renderer.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]
    renderer.close()


@pytest.mark.parametrize(
    "template", [PLAIN, pytest.param(ENDLESS[0], marks=pytest.mark.slow)]
)
def test_no_child_outlives_its_parent(template: str) -> None:
    code = (
        "import sys, threading; from hotswap.templates import Renderer\n"
        "r = Renderer(deadline_s=60); m = [{'role': 'user', 'content': 'x'}]\n"
        "while not r.children: r.render('', m, {})\n"  # a slow one is not kept
        "print(r.children[0], flush=True)\n"
        f"r.render({template!r}, m, {{}}); threading.Event().wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()

    # One that renders is ended by the limit of its time
    wait_until(lambda: not is_running(child), limit_s=60)
