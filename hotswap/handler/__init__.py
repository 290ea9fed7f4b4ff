"""The operator's own code beside the server: hooks, and DJL Serving's `model.py`.

A handler says `from hotswap.handler import generate` to ask the server's model. From a
file to a call, and what becomes of it:

    operator_module   the file, found and run
    djl_python        what it imports by DJL's names
    djl_handler       its functions: `handle`, and those told of adapters; djl_calls is
                      one call of them
    runner            calls them beside the server's threads, bounded
    event_loop        the same for coroutines
    calls             one call, and how it is given up
    veto              what they raise
    asking            how `handle` asks the model
"""

from hotswap.handler.asking import agenerate, generate

__all__ = ["agenerate", "generate"]
