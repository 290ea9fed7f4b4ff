"""Tests of what DJL Serving is told."""
