"""OpenAI's routes that generate.

completions, chat           the routes: read the body, name the adapter
schemas, chat_schemas       their bodies; chat_messages and tool_schemas within them;
                            structured says what an answer looks like;
                            contradictions are what cannot be said at once
chat_turn                   what a chat's body comes to; tool_calling its `tools` and
                            `tool_choice`: a grammar, a prompt
answering                   requests, submission, and the answer
shape                       envelopes, events and errors; completion_shape and
                            chat_shape have the choices; logprobs, text_offsets and
                            best_of what they tell of tokens
chat_output                 a model's text -> deltas of content, reasoning and calls;
                            reasoning and tool_parsers/ read it, by its markers
"""
