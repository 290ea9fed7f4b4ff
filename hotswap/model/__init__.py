"""How tokens are computed, and where adapters are merged.

load                  a folder, a file, a hub id (model_path, hub) -> Loaded
calibrate             what steps and swaps take on this machine

machine/              the device, its kernels and its memory
weights/              golden, k slots, what is resident
network/              what every executor shares: the decoder, rows, the model as loaded
eager/                the executor that runs each operation from here: the CPU's
"""
