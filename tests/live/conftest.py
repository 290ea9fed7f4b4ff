"""Fixtures of the tests of a live server."""

from tests.fixtures import adapter_folders, live, model_folder, same_kernels

__all__ = ["adapter_folders", "live", "model_folder", "same_kernels"]
