"""A stream by SageMaker's own client, boto3, which takes this server for an endpoint.

Run `make demo` first, then (`pip install boto3`)

    .venv/bin/python examples/sagemaker_client.py [http://localhost:8080]
"""

import json
import sys
import urllib.request

import boto3

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
runtime = boto3.client(
    "sagemaker-runtime",
    endpoint_url=URL,
    region_name="us-east-1",
    aws_access_key_id="none",  # not looked at
    aws_secret_access_key="none",
)
(model,) = json.load(urllib.request.urlopen(f"{URL}/ping"))
messages = [{"role": "user", "content": "Name the capital of France."}]
body = {"messages": messages, "max_tokens": 24, "temperature": 0, "stream": True}
for adapter in ("pirate", model):  # the model's own name is the base
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName=model,
        InferenceComponentName=adapter,
        ContentType="application/json",
        Body=json.dumps(body),
    )
    print(f"{adapter}: ", end="")
    for event in answer["Body"]:
        (choice,) = json.loads(event["PayloadPart"]["Bytes"])["choices"]
        print(choice["delta"].get("content") or "", end="", flush=True)
    print()
