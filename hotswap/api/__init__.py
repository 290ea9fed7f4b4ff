"""HTTP in, HTTP out; no decisions. `application` has every route.

A request that generates passes

middleware, cross_origin    bounds on bodies, a request id; what web pages may ask
openai, djl                 the routes: completions, chat; invocations, predictions
request_body                read strictly by schemas (openai_schemas, djl_schemas,
                            unsupported_fields); selection names the adapter
job_request                 one job to be: a prompt and its parameters, which
                            sampling_fields read from any family's body
submission                  prompt to tokens, beside the loop in encoder_pool; tickets
running                     its jobs from acceptance to the last piece
openai_shape, djl_shape     the answers, whole or streamed
error_responses             the one table of codes; http_errors, djl_errors

Others: models, djl_models (what is served), registration for admin, vllm, djl_adapters
and workflows with its endpoints (adapters come, change and go), health and operations
(probes, status, metrics), events (a stream of news). server_state is what routes see.
"""
