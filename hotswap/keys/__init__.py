"""Keys: who may ask this server for what.

access_key  one key, its hash and what it may ask for; how one is made and written
key_file    keys at rest: a line of JSON each, none of which opens anything
key_ring    all keys that hold now, read again when a file changes; who shows one
rate        how often a key may ask

Knows no HTTP: `hotswap/api/guard.py` asks here, and `hotswap key new` writes.
"""
