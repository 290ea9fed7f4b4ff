"""Runner: a loaded model ready to serve - its weights, its KV, its forward pass."""

import logging
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from hotswap.adapters.deltas import Generation, bytes_of
from hotswap.adapters.layout import Layout, hollow, hollowed
from hotswap.errors import StartFailed
from hotswap.model.budget import shares
from hotswap.model.device import Device, device_of, free_host_bytes
from hotswap.model.fit import fit
from hotswap.model.linear import Linear, head_of
from hotswap.model.load import Loaded
from hotswap.model.loose import loose_of
from hotswap.model.rows import Row
from hotswap.model.slots import Place
from hotswap.model.weights import Weights

log = logging.getLogger(__name__)


class Runner:
    """Owned by the engine thread. `slots` and `kv_tokens`: None means by budget."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        slots: int | None = None,
        kv_tokens: int | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        model = loaded.model
        loaded_bytes = bytes_of(model.parameters())
        skeleton = hollowed(model)  # before any module of it is replaced
        self.dtype = model.dtype
        kernels = loaded.kernels
        head = head_of(model)
        self.head = next((p for p, m in model.named_modules() if m is head), "")
        fitted = fit(loaded, kernels)
        linears = fitted.linears
        if not linears:
            raise StartFailed(
                f"model {loaded.name}: it has no linear layer to merge into"
            )
        places: list[Place] = [*linears, *loose_of(model, linears)]
        # Most adapters leave the embedding and the norms alone: they are not counted.
        slot_bytes = sum(linear.golden.nbytes for linear in linears)
        # Beside what was loaded, whose memory a CPU's plain kernels compute in.
        prepared_bytes = slot_bytes if kernels.copies else 0
        device = device_of(model.device)
        budget = budget_bytes or device.budget_bytes()
        share = shares(
            budget,
            budget if device.is_host else free_host_bytes() // 2,
            slot_bytes=slot_bytes,
            golden_bytes=prepared_bytes if device.is_host else slot_bytes,
            token_bytes=fitted.token_bytes,
            context=loaded.context,
            slots=slots,
            kv_tokens=kv_tokens,
        )
        if not share.golden_stays:
            log.warning("golden leaves the device: no slot fits beside it")
            for linear in linears:
                _leave(linear, model, device)
        self.layout = _layout(loaded, skeleton, places)
        self.kind = fitted.kind
        self.context = loaded.context
        self.kv_tokens = share.kv_tokens
        self.weights = Weights(places, share.slots, device)
        self.memory = {
            "budget_bytes": budget,
            "golden_bytes": loaded_bytes + prepared_bytes * share.golden_stays,
            "slot_bytes": slot_bytes,
            "slots": share.slots,
            "kv_token_bytes": fitted.token_bytes,
            "kv_tokens": share.kv_tokens,
            "adapter_bytes": share.adapter_bytes,
            "golden_stays": share.golden_stays,
        }
        self._device = device
        self._beside = fitted.beside
        self._forward = fitted.forward(share.kv_tokens)

    @property
    def beside_bytes(self) -> int:
        """Memory of the device that adapters take to run beside golden."""
        return self._beside.nbytes

    # The KV is made in a forward pass, and may be moved here.
    @torch.inference_mode()
    def open(self, job: int, tokens: int) -> None:
        """Reserve KV for a job. Never fails while the scheduler counts right."""
        self._forward.open(job, tokens)

    def close(self, job: int) -> None:
        """Give a job's KV back; unknown jobs never had any."""
        self._forward.close(job)

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """One step with the weights as they are. Logits [wanting rows, vocab] float32.

        Mutates the KV of the rows' jobs; weights never. The step is over when this
        returns: a clock may be read, weights may be changed. Raises MixFailed before
        anything is computed.
        """
        if mixed:
            self._beside.seat(row.generation for row in rows if row.generation)
        logits = self._forward.run(rows, mixed=mixed)
        self._device.finish()
        return logits

    def forget(self, generation: Generation | str) -> None:
        """Drop what is kept of a generation that nobody uses any more."""
        key = generation if isinstance(generation, str) else generation.key
        self.weights.forget(key)
        self._beside.forget(key)


def _layout(
    loaded: Loaded, skeleton: PreTrainedModel, places: Sequence[Place]
) -> Layout:
    shapes = {
        path: (rows.stop - rows.start, place.golden.shape[1])
        for place in places
        if isinstance(place, Linear)
        for path, rows in place.parts.items()
    }
    modules = (path for path, _ in skeleton.named_modules() if path)
    return Layout(
        linear=shapes,
        others=frozenset(path for path in modules if path not in shapes),
        skeleton=skeleton,
        golden={path: p.golden_of(path) for p in places for path in p.parts},
        base=loaded.name,
    )


def _leave(linear: Linear, model: PreTrainedModel, device: Device) -> None:
    """Golden of one layer leaves; the model it was made from lets go of it, too."""
    linear.leave(device)
    for path in linear.parts:
        module = model.get_submodule(path)
        if not isinstance(module, Linear):
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, hollow(parameter.shape))
