"""The visit to a GPU: `make gpu`, then `python -m benchmarks.gpu` there.

__main__              all parts, each in a process of its own with a deadline
part                  one part: prints each figure as a line of JSON as soon as it is
setting               where a part runs; how it times
model                 random models of Llama's shapes, adapters, executors
table                 what was found beside what is wanted

The parts: ceilings, promises (`pytest -m gpu`), steps, serving (the engine), kernels
and sweep (over the sizes of their blocks; both on cases), peft.
`--device cpu --tiny` runs all of them on a CPU with tiny shapes, so that no typo
wastes a visit. Not yet run on a GPU.
"""
