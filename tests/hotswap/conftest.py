"""Fixtures of the tests of hotswap's parts."""

from tests.fixtures import adapter_folders, model_folder, runner, same_kernels

__all__ = ["adapter_folders", "model_folder", "runner", "same_kernels"]
