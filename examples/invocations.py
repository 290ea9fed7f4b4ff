"""One request of several inputs, each for another adapter, in DJL's shape.

Run `make demo` first, then

    .venv/bin/python examples/invocations.py [http://localhost:8080]
"""

import sys

import httpx

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
ADAPTERS = ["pirate", "sentiment", ""]  # "" is the base model
BODY = {
    "inputs": ["The capital of France is"] * len(ADAPTERS),
    "adapters": ADAPTERS,
    "parameters": {"max_new_tokens": 12, "details": True},
}

answer = httpx.post(f"{URL}/invocations", json=BODY, timeout=120)
answer.raise_for_status()
for adapter, item in zip(ADAPTERS, answer.json(), strict=True):
    details = item["details"]
    print(
        f"{adapter or 'base'}: {item['generated_text']!r} "
        f"({details['generated_tokens']} tokens, {details['finish_reason']})"
    )
print("ran:", answer.headers["x-hotswap-adapter"])

# An adapter that does not exist is 424, and says which.
BODY["adapters"] = "nobody"
print(httpx.post(f"{URL}/invocations", json=BODY).json()["error"])
