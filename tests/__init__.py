"""Before anything else is imported.

Tests share the cores with whatever else runs here: OpenMP's workers must not spin
while they wait, or each small operation takes a slice of the machine's time.

Where there is no CUDA driver, Triton's interpreter runs the kernels. Triton reads that
when it is imported, and transformers imports it."""

import ctypes
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    os.environ.setdefault("TRITON_INTERPRET", "1")
