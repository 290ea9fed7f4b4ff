"""Deployment: the server as an application of Ray Serve.

Loads no model: the replicas do, each where Ray puts it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from ray import serve
from ray.serve import Application
from ray.serve.config import (
    AutoscalingConfig,
    AutoscalingPolicy,
    RequestRouterConfig,
)

from hotswap import config
from hotswap.config import Config
from hotswap.deploy_options import DeployConfig
from hotswap.djl_config.model_store import SAGEMAKER_STORE
from hotswap.options import unless_auto
from hotswap.ray.autoscaling import QueueAge
from hotswap.ray.proxy import FRONT, FRONT_KEY
from hotswap.ray.replica import Replica
from hotswap.ray.router import AdapterRouter

NAME = "hotswap"
# Beyond what the engine lets wait: routes that manage and tell have their place, and
# the engine's own 429 says when to come again.
_MORE_REQUESTS = 1000
_END_S = 10.0  # after the drain


def app(args: Mapping[str, str]) -> Application:
    """`serve run hotswap.ray:app config=FILE`: Ray's own builder of applications."""
    path = Path(args["config"]) if "config" in args else None
    told = config.gather(path, {}, os.environ, SAGEMAKER_STORE)
    return application(told.config)


def application(settings: Config) -> Application:
    tell_proxies()
    settings = shared(settings)
    deploy, drain_s = settings.deploy, settings.server.drain_s
    made = serve.deployment(
        Replica,
        name=NAME,
        max_ongoing_requests=settings.schedule.max_waiting + _MORE_REQUESTS,
        ray_actor_options={"num_cpus": deploy.cpus, "num_gpus": deploy.gpus},
        graceful_shutdown_timeout_s=drain_s + _END_S,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=2.0,
        request_router_config=RequestRouterConfig(
            request_router_class=AdapterRouter,
            request_routing_stats_period_s=deploy.report_s,
        ),
        **_replicas(settings),
    )
    # What says how many there are is not theirs: to change it restarts none.
    return made.bind(replace(settings, deploy=DeployConfig()))


def tell_proxies() -> None:
    """Of the front. Proxies of a Ray that runs already have their environment."""
    os.environ.setdefault(FRONT_KEY, FRONT)


def shared(settings: Config) -> Config:
    """Replicas share the adapters directory, however many there are."""
    return replace(settings, adapters=replace(settings.adapters, shared=True))


def _replicas(settings: Config) -> dict[str, Any]:
    deploy = settings.deploy
    most = unless_auto(deploy.max_replicas)
    if most is None or most <= deploy.replicas:
        return {"num_replicas": deploy.replicas}
    policy = AutoscalingPolicy(
        policy_function=QueueAge,
        policy_kwargs={"target_age_s": deploy.target_age_s},
    )
    scaling = AutoscalingConfig(
        min_replicas=deploy.replicas,
        max_replicas=most,
        upscale_delay_s=deploy.upscale_s,
        downscale_delay_s=deploy.downscale_s,
        policy=policy,
    )
    return {"autoscaling_config": scaling}
