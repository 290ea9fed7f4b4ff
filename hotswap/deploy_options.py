"""DeployOptions: the section [deploy], which `hotswap deploy` alone reads."""

from typing import Annotated

from msgspec import Meta, Struct

from hotswap.options import Auto, Count, Positive


class DeployConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Replicas of the server; with `max_replicas` the fewest.
    replicas: Count = 1
    # The most of them, as queues grow older; "auto" is no more than `replicas`.
    max_replicas: Count | Auto = "auto"
    # One more is wanted when the oldest waiting job of a replica is older than this.
    target_age_s: Positive = 2.0
    # How long it must have been so until replicas are added.
    upscale_s: Positive = 10.0
    # How long others must have had room for all until one is taken away.
    downscale_s: Positive = 300.0
    # CPU cores of a replica: where Ray puts it, and how many threads it computes with.
    cpus: Positive = 1.0
    # GPUs of a replica.
    gpus: Annotated[float, Meta(ge=0, le=1024)] = 0.0
    # So often replicas tell the proxies what they hold and how long one waits there.
    report_s: Positive = 0.5
    # A Ray cluster that runs already; "" starts one on this machine.
    address: str = ""
