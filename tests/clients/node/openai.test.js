// openai-node: chats, streams, structure, tools, log-probabilities, responses.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { HELLO, SERVER, chat, example } from "./server.js";

const client = new OpenAI({ baseURL: `${SERVER}/v1`, apiKey: "none", maxRetries: 0 });
const GREEDY = { model: "pirate", messages: HELLO, max_tokens: 8, temperature: 0 };
const LONG = { ...GREEDY, max_tokens: 400 };
const Mood = z.object({ mood: z.enum(["calm", "angry"]), loud: z.boolean() });
const TOOLS = [zodFunction({ name: "mood", parameters: Mood })];

test("a chat is answered by the adapter that model names", async () => {
  const { data, response } = await client.chat.completions.create(GREEDY).withResponse();
  assert.equal(data.choices[0].message.content, await chat("pirate"));
  assert.equal(data.model, "pirate");
  assert.equal(response.headers.get("x-hotswap-adapter"), "pirate");
});

test("a stream tells the same", async () => {
  const stream = await client.chat.completions.create({ ...GREEDY, stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, await chat("pirate"));
});

test("parse returns what was asked for", async () => {
  const answer = await client.chat.completions.parse({
    ...LONG,
    response_format: zodResponseFormat(Mood, "mood"),
  });
  Mood.parse(answer.choices[0].message.parsed);
});

test("a forced call is parsed, and its stream", async () => {
  const asked = { ...LONG, tools: TOOLS, tool_choice: "required" };
  const answer = await client.chat.completions.parse(asked);
  Mood.parse(answer.choices[0].message.tool_calls[0].function.parsed_arguments);

  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  Mood.parse(final.choices[0].message.tool_calls[0].function.parsed_arguments);
});

test("log-probabilities", async () => {
  const answer = await client.chat.completions.create({
    ...GREEDY,
    logprobs: true,
    top_logprobs: 2,
  });
  const told = answer.choices[0].logprobs.content;
  assert.equal(told.length, 8);
  assert.ok(told.every((token) => token.top_logprobs.length === 2));
});

const RESPONSE = {
  model: "pirate",
  input: "Hello",
  temperature: 0,
  max_output_tokens: 8,
  store: false,
};

test("a response and its stream", async () => {
  const answer = await client.responses.create(RESPONSE);
  assert.equal(answer.output_text, await chat("pirate"));
  const final = await client.responses.stream(RESPONSE).finalResponse();
  assert.equal(final.output_text, answer.output_text);
});

test("an unknown adapter is the client's not found", async () => {
  await assert.rejects(
    client.chat.completions.create({ ...GREEDY, model: "nope" }),
    OpenAI.NotFoundError,
  );
});

test("the page", async () => {
  assert.equal(example("openai (Node)"), await chat("pirate"));
});
