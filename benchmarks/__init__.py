"""Benchmarks. Each prints what it measures, a table, and one last line of JSON."""

import hotswap  # before torch: it tells OpenMP how to wait

__all__ = ["hotswap"]
