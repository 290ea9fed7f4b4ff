"""An adapter, from folder to tensors. Open `checkpoint` first: it reads in this order.

files, foreign       a stranger's files read with a bound; what is no adapter of PEFT's;
                     file_names are those that are looked at
peft_config          adapter_config.json -> PEFT's configuration, or refused; settings
                     has each field's type, base_name says whose adapter it is
limits, bounds       what the operator allows; what PEFT may take by a config's word
patterns             its regular expressions, tried in a process that can be ended
tensors, keys        safetensors -> tensors under the names that PEFT gives them
updates              which way they become updates: low_rank factors (`Delta`), or
                     whatever PEFT merges (`Rewrite`): tuners, rewrites, quiet
layout               the base model without its weights, which an adapter has to fit
vocabulary           tokens that were added in training
fidelity             what rounding loses; whether it may be merged, mixed, or both
adapter_tokenizer    a folder's own tokenizer and template; tokenizer_pipeline
sidecar              hotswap.toml: what its requests get by default
generation           the result: one content of an adapter, under its digest; factors
                     are its deltas', as they are multiplied

store                names and generations, who leases them; host_memory, origin,
                     reserved_names
adapter_info         how the world sees one; report: what a folder_check found
"""
