"""Tool parsers: how models write calls of tools in their text, and how it is read.

    text, piece by piece -> deltas of content and of calls

tool_parser                 what all share: text, a call, what stands around it
call_reader                 one call as JSON, `{"name": ..., "arguments": {...}}`
hermes, mistral             calls behind a marker
json_calls                  calls that are bare JSON: Llama 3's, and anybody's
forced                      what a grammar has made of a named function
choice                      which one reads a model's text: by name or by template
"""
