"""Real clients against a real server, each in its own environment: `make test-clients`.

__main__.py     the server, then the tests of each environment, then a table
server.py       the tiny model, its two adapters and the command that serves them
environments/   what each environment holds, pinned; node/ has its own lock
conftest.py     fixtures in all environments: the server, the page's examples
asking.py       requests by the standard library, to compare with
structures.py   what clients ask for in a structure
tasks/          lm-eval's: four items, scored three ways
test_*.py       one file for each client; node/*.test.js the same for Node
"""
