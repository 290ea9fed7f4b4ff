"""One thread owns all serving state; everybody else writes it messages. Open `engine`.

messages, inbox    what may be said to the thread, and the queue it comes through
engine             the loop: decide, run the step, publish, read messages
message_handler    where a request becomes a job or is refused
adapter_changes    adapters come, change and go
awaited, sums      who waits for an adapter from the disk; what a sum of adapters lacks
queue_limits       who may wait: no adapter and no API key keeps the others out
step_runner        a step: activate, launch, land, report; a slot built ahead in between
batch, sequence    the unfinished jobs, what they hold, and one forward pass over some
block_hashes       what KV is known by, so that a prompt's beginning is computed once
text               tokens to characters as they come, and stop strings
ticket, outbox     the client's end of a job, and what a round has for all clients
latencies          how long clients waited, steps and swaps took: histograms
turns, queues      what the machine did lately, and who waits for it: for people
job_times          when a job was asked for, began and had its tokens
status             the frozen view that everybody may read
failures           what a fault takes with it: a job, a generation, or all jobs
"""
