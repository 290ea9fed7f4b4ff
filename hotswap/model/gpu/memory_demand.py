"""Memory demand: what the GPU's executor needs of the device, before it allocates."""

from hotswap.model.gpu.operations import GpuOperations
from hotswap.model.machine.budget import Demand
from hotswap.model.machine.device import Device, free_host_bytes
from hotswap.model.network.loaded import Loaded


def memory_demand(
    loaded: Loaded, operations: GpuOperations, device: Device, loaded_bytes: int
) -> Demand:
    # Most adapters leave the embedding and the norms alone: they are not counted.
    return Demand(
        loaded_bytes=loaded_bytes,
        packed_bytes=0,
        slot_bytes=sum(linear.golden.nbytes for linear in operations.linears),
        kv_token_bytes=operations.kv_token_bytes,
        context=loaded.context,
        can_leave=True,
        host_bytes=None if device.is_host else free_host_bytes() // 2,
        lora_page_bytes=operations.lora_page_bytes,
    )
