"""What every executor shares.

loaded                a model as it was loaded
rows                  one job's part of a step, and the sample it gets
llama                 the decoder of Llama, Mistral and Qwen2: one chain over the
                      operations that each device gives
sampling              logits -> tokens, all rows at once
spans                 which rows of a KV arena are whose
"""
