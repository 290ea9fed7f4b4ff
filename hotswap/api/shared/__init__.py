"""What every family of routes shares: from a body to the last piece of its answer.

schemas                     how a body is read, strictly; unsupported_fields are what
                            peers' clients send besides, sampling_fields what every
                            family says of generating
request_body                reads it; selection names the adapter, adapter_names says
                            what a name stands for
job_request                 one job to be: a prompt, its parameters, its grammar_spec
submission                  jobs that the engine has accepted, with their tickets
request_encoder             prompt and bad_words to tokens, beside the loop in
                            encoder_pool; a grammar, in grammar_compiler; tokenizer_work
                            is what it does for others with a tokenizer
request_context             its id and who asks, for whoever works on it
running                     its jobs from acceptance to the last piece
registration                adapters come, change and go; endpoints stand for some
http_status                 the one table of codes; http_errors, djl_errors
request_context             whose request a task works on; request_record is what
                            became of it
server_state                what routes see, and its health
route_access                who may ask which route; asking_key is what a request has
                            shown, request_context what else is known of it
"""
