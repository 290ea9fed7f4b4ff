"""Serve many LoRA adapters of one model by merging them into its weights."""

import os

# OpenMP's workers spin between parallel loops, by default for about a millisecond. On a
# quiet machine some 30 us cover the time between two operations as well; on a busy one
# every spinning thread takes the core from the one that it waits for (measured beside
# other work on 2 cores: 170 ms for a step instead of 1,450). Read when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Kernels that oneDNN and torch keep, one for each shape that they meet: half a megabyte
# each, and a thousand of them by default. What a server needs all the time is a few
# hundred. Read at the first product.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "512")

__version__ = "0.1.0"
