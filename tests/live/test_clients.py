"""The clients that are installed here anyway, in a process of their own.

All others: `make test-clients`.
"""

import sys
from collections.abc import Iterator

import pytest

from tests.clients.__main__ import counted, python_tests
from tests.clients.server import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What tells the clients' tests where the server is."""
    folder = tmp_path_factory.mktemp("clients")
    with serving(folder) as url:
        yield {"CLIENTS_SERVER": url, "CLIENTS_FOLDER": str(folder)}


@pytest.mark.parametrize("file", ["test_openai.py", "test_huggingface_hub.py"])
def test_a_client_works_unchanged(file: str, place: dict[str, str]) -> None:
    passed, failed = counted(output := python_tests(sys.executable, file, place))
    assert passed, output
    assert not failed, output
