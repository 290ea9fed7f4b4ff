"""Fixtures: engines on the fake model, to be scraped."""

from tests.hotswap.engine.conftest import start

__all__ = ["start"]
