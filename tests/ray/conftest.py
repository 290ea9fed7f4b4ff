"""Ray, and a crew of two replicas of the tiny model; nothing where Ray is not."""

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("ray") is None:
    collect_ignore_glob = ["*.py"]
else:
    from tests.fixtures import adapter_folders, model_folder, same_kernels

    with warnings.catch_warnings():  # of Ray's own
        warnings.simplefilter("ignore")
        from tests.ray.crew import Crew, on_ray

    __all__ = ["adapter_folders", "model_folder", "same_kernels"]

    @pytest.fixture(scope="session")
    def cluster() -> Iterator[None]:
        with on_ray():
            yield

    @pytest.fixture(scope="module")
    def crew(
        cluster: None,
        model_folder: Path,
        adapter_folders: Path,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Crew]:
        """Two replicas that share an empty directory; the adapters are its stock."""
        made = Crew(tmp_path_factory.mktemp("crew"), model_folder, adapter_folders)
        made.deploy()
        yield made
        made.close()
