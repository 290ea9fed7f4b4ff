"""What a handler in DJL Serving's form imports as `djl_python`, and no more than that.

inputs      `Input`: what a function of the handler is called with
outputs     `Output`: what it returns
pair_list   the content of both

Written anew from DJL's documentation and what its own handlers use. There is no socket
here and no parent process in Java, so nothing reads or writes itself.
"""

from hotswap.handler.djl_python.inputs import Input
from hotswap.handler.djl_python.outputs import Output
from hotswap.handler.djl_python.pair_list import PairList

__all__ = ["Input", "Output", "PairList"]
