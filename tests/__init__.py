"""Tests share the cores with whatever else runs here: OpenMP's workers must not spin
while they wait, or each small operation takes a slice of the machine's time."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
