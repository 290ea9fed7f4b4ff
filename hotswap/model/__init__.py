"""How tokens are computed, and where adapters are merged.

load                  a folder, a file, a hub id (model_path, hub) -> Loaded
unloaded              its files, tokenizer and shape, for who loads the weights itself
executor              the seam: what the engine needs of whoever computes
model_executor        and what is needed of one to make it ready to serve
executor_choice       the executor that is right and fastest for it here
calibrate             what steps and swaps take on this machine

machine/              the device, its kernels and its memory
weights/              golden, k slots, what is resident
network/              what every executor shares: the decoder, rows, the model as loaded
eager/                the executor that runs each operation from here: the CPU's
gpu/                  the executor that launches a whole step as one graph
vllm/                 vLLM's model runner as the executor, merged only
"""
