"""Tests of what is written about a run."""
