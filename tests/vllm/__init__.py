"""vLLM as the executor. What needs it is left out where it is not installed."""
