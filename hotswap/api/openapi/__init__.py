"""/schema: what every route reads and answers, as OpenAPI says it.

described_routes            the table: the body, the answer and the errors of each route
openai_answers              completions and chats as they go out whole
generate_answers            those of DJL's routes and of TGI's
json_schema                 our types as OpenAPI 3.0 can say them
document                    Litestar's document with all that in it
page                        the document, and a page of it that needs no network
"""
