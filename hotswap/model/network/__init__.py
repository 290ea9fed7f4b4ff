"""What every executor shares.

loaded                a model as it was loaded
rows                  one job's part of a step, and the sample it gets
sampling              logits -> tokens, all rows at once
"""
