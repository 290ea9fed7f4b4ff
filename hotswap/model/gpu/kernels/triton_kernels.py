"""The Triton kernels as one value. Not yet run on a GPU."""

from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.kernels.activation import silu_mul
from hotswap.model.gpu.kernels.attention import attend
from hotswap.model.gpu.kernels.gather import pending
from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.kernels.merge import merge
from hotswap.model.gpu.kernels.norm import rms_norm
from hotswap.model.gpu.kernels.rotary import rotate_and_write

KERNELS = Kernels(
    rms_norm=rms_norm,
    silu_mul=silu_mul,
    rotate_and_write=rotate_and_write,
    pending=pending,
    merge=merge,
    attend=attend,
    shrink=shrink,
    expand_add=expand_add,
)
