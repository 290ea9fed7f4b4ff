"""`hotswap serve echo`: the whole server around an executor that has no weights.

For whoever develops a client: it starts in a moment, needs no model, and every route,
field and error is the real one. What it says is what it was told.

executor                    echoes prompts, token by token
vocabulary                  a token for each byte, and a few special ones
folder                      an adapter's folder -> a generation without tensors
app                         the parts, put together
"""
