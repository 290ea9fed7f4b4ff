"""DJL Serving's routes, in its words and shapes.

invocations                 the routes that generate; schemas are their bodies,
                            answer_shape is what they say
handled                     the same by the operator's handler, of a handler_input
adapters, workflows         adapters come, change and go
models                      the one model that is served
shape                       envelopes, pages, parameters, and the codes that differ
"""
