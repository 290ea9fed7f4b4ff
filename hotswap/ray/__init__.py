"""On Ray Serve: replicas of the server, behind its proxy. Only its user imports it.

A request passes

front        around Ray's proxy: what it names, ids, errors in their shape; pure
proxy        how Ray is told of it
naming       what a request names; pure
router       which replica it goes to: the rule of `scheduler.routing`
replica      the application in a replica; health, and what it publishes
publishing   what a replica tells routers and the autoscaler; pure

deployment   all of it as a Serve application: `serve run hotswap.ray:app config=FILE`
deploying    the same on Ray of its own: `hotswap deploy`
autoscaling  how many replicas there are to be, by the age of queues; pure
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """`app`: loads Ray, which the pure parts here do without."""
    if name == "app":
        return importlib.import_module("hotswap.ray.deployment").app
    raise AttributeError(name)
