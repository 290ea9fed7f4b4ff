"""Triton 3.6's interpreter, mended: a GPU's bfloat16, and its open masked loads.

The interpreter holds bfloat16 as numpy's uint16. Its `tl.dot` and its arithmetic take
those for integers, and its conversion from float32 cuts off where a GPU rounds to
nearest, ties to even. And a masked load without `other` gives it zeros, where a GPU
gives whatever is in the register: here NaN. And numpy no longer makes an int of an
array of one number, which is what the bound of a loop is here. And each call of a
function in a kernel patches the whole language anew: once is enough, and takes a third
of the time.
"""

import importlib
from typing import Any

import numpy as np
import torch


def mend() -> None:
    """Wraps the interpreter's builder, once. TRITON_INTERPRET=1 must be set."""
    language = importlib.import_module("triton.language")
    interpreter = importlib.import_module("triton.runtime.interpreter")
    builder, bf16 = interpreter.InterpreterBuilder, language.bfloat16
    if hasattr(builder, "is_mended"):
        return
    builder.is_mended = True
    _mend_dot(builder, interpreter.TensorHandle, bf16, language.float32)
    _mend_cast(builder, interpreter.TensorHandle, bf16, language.float32)
    _refuse_arithmetic(builder, bf16)
    _open_masked_loads(builder, interpreter, language)
    _mend_loops_and_calls(interpreter)


def _mend_dot(builder: Any, handle: Any, bf16: Any, float32: Any) -> None:
    dot = builder.create_dot

    def widened(block: Any) -> Any:
        if block.dtype.scalar != bf16:
            return block
        return handle(widen(block.data), float32)

    def create_dot(self: Any, a: Any, b: Any, d: Any, *how: Any) -> Any:
        return dot(self, widened(a), widened(b), d, *how)

    builder.create_dot = create_dot


def _mend_cast(builder: Any, handle: Any, bf16: Any, float32: Any) -> None:
    cast = builder.cast_impl

    def cast_impl(self: Any, source: Any, to: Any) -> Any:
        if (source.dtype.scalar, to.scalar) == (float32, bf16):
            return handle(narrow(source.data), bf16)
        return cast(self, source, to)

    builder.cast_impl = cast_impl


def _refuse_arithmetic(builder: Any, bf16: Any) -> None:
    """A kernel computes in float32: where it does not, the interpreter is wrong."""
    binary, unary = builder.binary_op, builder.unary_op

    def binary_op(self: Any, one: Any, other: Any, operation: Any) -> Any:
        assert one.dtype.scalar != bf16, "arithmetic in bfloat16"
        return binary(self, one, other, operation)

    def unary_op(self: Any, one: Any, operation: Any) -> Any:
        assert one.dtype.scalar != bf16, "arithmetic in bfloat16"
        return unary(self, one, operation)

    builder.binary_op, builder.unary_op = binary_op, unary_op


def _open_masked_loads(builder: Any, interpreter: Any, language: Any) -> None:
    load = builder.create_masked_load
    nan = {
        language.bfloat16: np.uint16(0x7FC0),
        language.float16: np.float16("nan"),
        language.float32: np.float32("nan"),
    }

    def create_masked_load(
        self: Any, pointers: Any, mask: Any, other: Any, *how: Any
    ) -> Any:
        dtype = pointers.get_element_ty()
        if other is None and dtype in nan:
            filled = np.full(pointers.data.shape, nan[dtype])
            other = interpreter.TensorHandle(filled, dtype)
        return load(self, pointers, mask, other, *how)

    builder.create_masked_load = create_masked_load


def _mend_loops_and_calls(interpreter: Any) -> None:
    patch = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "has_patched"):
            interpreter._patch_lang(self.fn)
            self.has_patched = True
        return self.rewrite()(*args, **kwargs)

    interpreter._patch_lang_tensor = patch_lang_tensor
    interpreter.InterpretedFunction.__call__ = call


def widen(bits: np.ndarray) -> np.ndarray:
    """bfloat16 as uint16 -> float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrow(numbers: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 as uint16, to nearest, ties to even: torch's rounding."""
    tensor = torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.float32))
    return tensor.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
