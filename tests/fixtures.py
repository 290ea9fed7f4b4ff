"""Fixtures of tests that need torch: a tiny model, its adapters, a live server.

The `conftest` of each folder that wants them imports them, so that other folders, as
the scheduler's, are tested without torch.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hotswap import app
from hotswap.model import load as load_module
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.kernel_choice import ChosenKernels
from hotswap.model.load import load
from hotswap.model.machine.kernels import kernels_for
from tests import tiny
from tests.servers import Live, settings

# Threads that share a tiny product wait for each other: with another process beside
# them, a hundred times as long. `make test-fast` runs two processes.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def same_kernels() -> Iterator[None]:
    """The model's own type and packed kernels: timed, tiny products differ by chance.

    Processes that tests start do time.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            load_module,
            "choose_kernels",
            lambda model, dtypes, device: ChosenKernels(
                dtypes[0], kernels_for(dtypes[0], device)
            ),
        )
        yield


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama on disk."""
    return tiny.save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def adapter_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight adapters for the tiny Llama, of different ranks and targets."""
    root = tmp_path_factory.mktemp("adapters")
    targets = tiny.TARGETS["llama"]
    for number in range(8):
        tiny.save_adapter(
            root / f"a{number}",
            "llama",
            seed=number,
            strength=1.5,
            r=2 ** (number % 4),
            target_modules=targets[number % 3 :],
            use_rslora=number == 5,
        )
    return root


@pytest.fixture
def runner(model_folder: Path) -> EagerExecutor:
    """The tiny Llama, ready to run, with two slots."""
    return EagerExecutor(
        load(str(model_folder), "float32", "cpu"), slots=2, kv_tokens=4096
    )


@pytest.fixture(scope="module")
def live(
    model_folder: Path, adapter_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """The real server on the tiny Llama with eight adapters."""
    with Live(app.build(settings(model_folder, adapter_folders))) as server:
        yield server
