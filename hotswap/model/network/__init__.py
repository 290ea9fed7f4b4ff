"""What every executor shares.

loaded                a model as it was loaded
rows                  one job's part of a step, and the sample it gets
adapter_layout        what the adapters of a model have to fit
sampling              logits -> tokens, all rows at once
"""
