"""HTTP in, HTTP out; no decisions. `application` has every route.

A request that generates passes

middleware, guard           a request id; keys
cross_origin                what web pages may ask
request_bodies              bounds on bodies: bytes, seconds, all together
openai/, responses/,        the routes of a family and the shapes of its answers
tgi/, djl/
shared/                     from its body to jobs, and to their last piece
openapi/                    what the routes read and answer, at /schema
error_responses             every error in its family's shape

Others: models (what is served), tokenization (what its tokens are), admin and vllm
(adapters come, change and go), operations (probes, status), metrics/, events (a stream
of news, with a pulse for people), page_routes (the page at /).
"""
