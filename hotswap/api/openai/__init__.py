"""OpenAI's routes that generate.

completions, chat           the routes: read the body, name the adapter
schemas, chat_schemas       their bodies; structured says what an answer looks like
answering                   requests, submission, and the answer
shape                       envelopes, events and errors; completion_shape and
                            chat_shape have the choices
"""
