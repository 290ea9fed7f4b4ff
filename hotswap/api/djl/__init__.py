"""DJL Serving's routes, in its words and shapes, and SageMaker's before it.

invocations                 the routes that generate; schemas are their bodies,
                            answer_shape is what they say
openai_bodies               OpenAI's bodies on the same routes
sagemaker                   where SageMaker's clients post; event_stream is what they
                            stream in, sagemaker_shape their errors
sagemaker_headers           what SageMaker says beside a body
adapters, workflows         adapters come, change and go
models                      the one model that is served
shape                       envelopes, pages, parameters, and the codes that differ
"""
