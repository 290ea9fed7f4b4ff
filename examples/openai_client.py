"""OpenAI's own client: adapters are models. Run `make demo` first, then

.venv/bin/python examples/openai_client.py [http://localhost:8080]
"""

import sys

from openai import NotFoundError, OpenAI

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
QUESTIONS = {
    "sql": "Table people(name, age, city, job, salary, email). "
    "What are the emails of people older than 72?",
    "pirate": "How can I bake bread?",
}

client = OpenAI(base_url=f"{URL}/v1", api_key="none")
print("models:", *(model.id for model in client.models.list()))

# Two adapters, each as a stream, from the same server and the same weights.
for adapter, question in QUESTIONS.items():
    print(f"{adapter}:", end=" ")
    for chunk in client.chat.completions.create(
        model=adapter,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=60,
        stream=True,
    ):
        print(chunk.choices[0].delta.content, end="", flush=True)
    print()

# An adapter that is not there is an error, never the base model's answer.
try:
    client.completions.create(model="nobody", prompt="Hello")
except NotFoundError as error:
    print("nobody:", error.message)
