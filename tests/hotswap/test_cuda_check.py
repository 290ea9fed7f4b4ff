"""A CUDA device that cannot be used ends the start in a line that says what would."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from hotswap.errors import StartFailed
from hotswap.model.load import load
from hotswap.model.machine.cuda_check import check_cuda, check_room

CUDA = torch.device("cuda")
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update "
    "your GPU driver\nby downloading and installing a new version"
)


@dataclass
class FakeCuda:
    count: int = 1
    says: str = ""  # what its start raises
    capability: tuple[int, int] = (9, 0)
    free_bytes: int = 80 * 10**9
    arch_list: list[str] = field(default_factory=lambda: ["sm_75", "sm_90a", "sm_120"])

    def init(self) -> None:
        if self.says:
            raise RuntimeError(self.says)

    def device_count(self) -> int:
        return self.count

    def get_arch_list(self) -> list[str]:
        return self.arch_list

    def get_device_name(self, device: torch.device) -> str:
        return "a card"

    def get_device_capability(self, device: torch.device) -> tuple[int, int]:
        return self.capability

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return self.free_bytes, self.free_bytes


def said(cuda: FakeCuda, *, built_for: str | None = "13.0") -> str:
    with pytest.raises(StartFailed) as caught:
        check_cuda(CUDA, cuda=cuda, built_for=built_for)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("model.device cuda: ")
    assert text.endswith("or choose --device cpu")
    return text


def test_a_card_that_torch_can_use_is_used() -> None:
    check_cuda(CUDA, cuda=FakeCuda(), built_for="13.0")
    check_cuda(CUDA, cuda=FakeCuda(capability=(12, 0), arch_list=[]), built_for="13.0")
    check_room(CUDA, 79 * 10**9, cuda=FakeCuda())


def test_a_torch_without_cuda_is_named() -> None:
    assert "built without CUDA" in said(FakeCuda(), built_for=None)


def test_a_driver_that_is_too_old_is_named_with_its_version() -> None:
    text = said(FakeCuda(says=TOO_OLD))

    assert "too old (found version 11040)" in text
    assert "CUDA 13.0 needs a driver made for it" in text


def test_no_card_and_one_too_few_are_counted() -> None:
    assert "there are 0 CUDA devices" in said(FakeCuda(count=0))
    with pytest.raises(StartFailed, match="there are 1 CUDA devices"):
        check_cuda(torch.device("cuda:1"), cuda=FakeCuda(), built_for="13.0")


def test_a_card_that_is_too_old_is_told_what_would_do() -> None:
    text = said(FakeCuda(capability=(6, 1)))

    assert "a card has compute capability 6.1" in text
    assert "built for 7.5 and later" in text


def test_a_model_that_is_larger_than_the_card_is_told_by_how_much() -> None:
    with pytest.raises(StartFailed, match=r"takes 16.1 GB, a card has 8.0 GB free"):
        check_room(CUDA, 16_100_000_000, cuda=FakeCuda(free_bytes=8 * 10**9))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_start_on_a_gpu_that_is_not_there_ends_in_one_line(
    model_folder: Path,
) -> None:
    with pytest.raises(StartFailed) as caught:
        load(str(model_folder), None, "cuda")

    assert str(caught.value).startswith("model.device cuda: ")
    assert "\n" not in str(caught.value)
