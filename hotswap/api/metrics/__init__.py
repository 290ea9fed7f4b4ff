"""/metrics: what Prometheus, its dashboards, and routers read of this server.

route              the one route, in the format that the client asks for
exposition         families of metrics, as both formats write them
server_families    `hotswap_...`: the queue, KV, tokens, steps, swaps, refusals
adapter_families   `hotswap_...` by adapter: jobs, and how long clients waited
router_families    `vllm:...`: what llm-d, the Gateway API inference extension and
                   AIBrix read of any server
refusals           requests that were turned away, counted by the kind of error
"""
