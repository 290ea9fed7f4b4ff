"""The routes of text-generation-inference and of LoRAX, which has grown from it.

generation                  /, /generate and /generate_stream; schemas are their bodies
grammar_fields              what an answer has to look like, as either says it
merged_adapters             LoRAX' sums of adapters, as a name
info                        /info
shape                       answers, events, errors, and the codes that differ
"""
