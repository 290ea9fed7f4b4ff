"""What every executor shares.

loaded                a model as it was loaded
adapter_layout        what its adapters have to fit
rows                  one job's part of a step, and the sample it gets
llama                 the decoder of Llama, Mistral and Qwen2: one chain over the
                      operations that each device gives
probes                whether a pass computes what transformers computes, in the
                      type that it computes in by upcast
sampling              logits -> tokens, all rows at once
sampling_rows         how a step's rows are sampled, by their jobs' samplers
sampler               one job's parameters, random numbers, and how far it is
past_tokens           what jobs have sampled, where penalties and bad words look back
logits_processors     what parameters make of logits before a token is drawn
penalties             presence, frequency and repetition
grammar_masks         what grammars allow, filled while the pass runs
bans                  grammar, allowed tokens, bad words, `min_tokens`
draws                 a token by one uniform: temperature, min_p, top_k, top_p
top_logprobs          ranks and the likeliest tokens, for the rows that ask
prompt_scores         how likely the model found the tokens of prompts
upload                host memory to the device, without waiting
"""
