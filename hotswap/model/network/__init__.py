"""What every executor shares.

loaded                a model as it was loaded
rows                  one job's part of a step
spans                 which rows of a KV arena are whose
llama                 the decoder of Llama, Mistral and Qwen2: one chain over the
                      operations that each device gives
"""
