"""Benchmarks. Each prints what it measures, a table, and one last line of JSON."""
