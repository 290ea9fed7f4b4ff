"""What is written about a run, on standard error and to a collector of traces.

setup                       how records are written, once at the start
json_format, text_format    a record as one line, for programs or for people
printable                   what came from outside, made safe to write
observers                   who is told of each request that generates, by [log]
answer_line                 one record of it
traces                      a span of OpenTelemetry's, loaded where traces_wanted says
"""
