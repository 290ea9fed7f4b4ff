"""What every executor shares.

loaded                a model as it was loaded
adapter_layout        what its adapters have to fit
rows                  one job's part of a step, and the sample it gets
spans                 which rows of a KV arena are whose
llama                 the decoder of Llama, Mistral and Qwen2: one chain over the
                      operations that each device gives
probes                whether a pass computes what transformers computes
sampling              logits -> tokens, all rows at once
"""
