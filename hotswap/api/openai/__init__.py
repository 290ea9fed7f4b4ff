"""OpenAI's routes that generate.

completions, chat           the routes: read the body, name the adapter
schemas, chat_schemas       their bodies; contradictions are what cannot be said at once
answering                   requests, submission, and the answer
shape                       envelopes, events and errors; completion_shape and
                            chat_shape have the choices; logprobs, text_offsets and
                            best_of what they tell of tokens
"""
