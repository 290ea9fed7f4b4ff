"""Which replica of a fleet a request goes to. Pure, and the standard library only.

report      what a replica publishes of itself
router      the rule: where the adapter is warm, unless waiting there costs more
ring        consistent hashing: where an adapter goes that is nowhere
shortest    the replica with the least wait, at any moment
"""

from scheduler.routing.report import ReplicaReport
from scheduler.routing.router import Router

__all__ = ["ReplicaReport", "Router"]
