"""What runs without vLLM, and the engines that the other tests share.

To start vLLM takes some ten seconds, so an engine is started once for a whole run.
"""

import importlib.util
from pathlib import Path

# These import nothing of vLLM's.
_PURE = ("test_versions.py", "test_placements.py", "test_checkpoint_layout.py")
_HERE = Path(__file__).parent

if importlib.util.find_spec("vllm") is None:
    collect_ignore = [
        path.name for path in _HERE.glob("test_*.py") if path.name not in _PURE
    ]
else:
    pytest_plugins = ["tests.vllm.fixtures"]
