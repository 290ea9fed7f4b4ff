"""Serve many LoRA adapters of one model by merging them into its weights."""

__version__ = "0.1.0"
