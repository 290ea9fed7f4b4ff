"""/v1/responses: OpenAI's newer API of the same answers, without state.

route                       the route: read the body, answer as a chat does
schemas                     its body; input_items the items of a conversation
chat_request                the chat that it asks for
output_items                a model's text -> items of the answer, and their events
response_shape              the response around them
"""
