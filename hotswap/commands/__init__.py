"""The commands of `hotswap`, a file each; `hotswap/cli.py` puts them together.

flag                        what stands on the command line
serve_flags                 those that set a key of the configuration
serve_command               hotswap serve: a model and its adapters
deploy_command              hotswap deploy: replicas of it, by Ray Serve
check_command               hotswap check: an adapter, without serving it
status_command              hotswap status: what a running server does
adapters_command            hotswap adapters: list, load, unload, pin and unpin them
heavy                       torch, loaded late
remote                      how the last two ask a running server
table                       rows for people
"""
