"""/schema: what every route reads and answers, as OpenAPI says it.

described_routes            the table: the body, the answer and the errors of each route
json_schema                 our types as OpenAPI 3.0 can say them
document                    Litestar's document with all that in it
page                        the document, and a page of it that needs no network
"""
