"""Tests of the choice among replicas."""
