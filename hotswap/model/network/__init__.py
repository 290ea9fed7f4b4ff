"""What every executor shares.

loaded                a model as it was loaded
rows                  one job's part of a step
"""
