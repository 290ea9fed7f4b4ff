"""What every executor shares.

loaded                a model as it was loaded
adapter_layout        what its adapters have to fit
rows                  one job's part of a step, and the sample it gets
llama                 the decoder of Llama, Mistral and Qwen2: one chain over the
                      operations that each device gives
spans                 which rows of the KV each job has
probes                whether a pass computes what transformers computes
sampling              logits -> tokens, all rows at once
"""
