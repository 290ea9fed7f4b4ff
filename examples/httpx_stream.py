"""Server-sent events by hand, and what the headers tell. Run `make demo` first, then

.venv/bin/python examples/httpx_stream.py [http://localhost:8080]
"""

import json
import sys

import httpx

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
BODY = {
    "adapter": "pirate",
    "messages": [{"role": "user", "content": "How can I bake bread?"}],
    "temperature": 0,
    "max_tokens": 60,
    "stream": True,
    "stream_options": {"include_usage": True},
}

with httpx.stream(
    "POST", f"{URL}/v1/chat/completions", json=BODY, timeout=120
) as answer:
    if answer.is_error:  # refused, or failed before its first token
        sys.exit(answer.read().decode())
    for name in ("adapter", "generation", "mode"):
        print(f"{name}: {answer.headers[f'x-hotswap-{name}']}")
    for line in answer.iter_lines():
        data = line.removeprefix("data: ")
        if data in ("", "[DONE]"):
            continue
        event = json.loads(data)
        if "error" in event:  # the status was out already
            sys.exit(event["error"]["message"])
        for choice in event["choices"]:
            print(choice["delta"]["content"], end="", flush=True)
        if event["usage"]:
            print(f"\ntokens: {event['usage']['completion_tokens']}")
