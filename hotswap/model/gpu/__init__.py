"""The executor for a GPU. Not yet run on a GPU.

executor              opens and closes jobs, launches steps; flights bring samples back
forward               one pass over a step's rows, in one of the buckets
step_inputs           a step as tables, staging brings them over in one copy;
                      attention_table says who attends to what, and where it lies
graphs                a step's work recorded once, launched as one
operations            the operations of the chain; linear: its products, in slots that
                      never move; arena: the KV
lora_pool             the adapters of mixed steps in a fixed number of pages:
                      lora_pages writes them, lora_layer adds what they make of the
                      rows, lora_table says which pages each row meets; lora_parts:
                      when they are too many for one pass
kernel_set            the kernels it computes with, as one value; memory_demand: what
                      it all needs

kernels/              these kernels, in Triton
"""
