// The AI SDK: its OpenAI provider (by responses and by chat) and the compatible one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { SERVER, chat, example } from "./server.js";

const openai = createOpenAI({ baseURL: `${SERVER}/v1`, apiKey: "none" });
const compatible = createOpenAICompatible({
  name: "hotswap",
  baseURL: `${SERVER}/v1`,
  supportsStructuredOutputs: true,
});
const MODELS = {
  responses: openai("pirate"),
  chat: openai.chat("pirate"),
  compatible: compatible("pirate"),
};
const Mood = z.object({ mood: z.enum(["calm", "angry"]), loud: z.boolean() });

for (const [kind, model] of Object.entries(MODELS)) {
  const asked = {
    model,
    prompt: "Hello",
    temperature: 0,
    maxRetries: 0,
    providerOptions: { openai: { store: false } },
  };

  test(`${kind}: generateText`, async () => {
    const answer = await generateText({ ...asked, maxOutputTokens: 8 });
    assert.equal(answer.text, await chat("pirate"));
    assert.equal(answer.response.modelId, "pirate");
    assert.equal(answer.usage.outputTokens, 8);
  });

  test(`${kind}: streamText`, async () => {
    const answer = streamText({ ...asked, maxOutputTokens: 8 });
    let text = "";
    for await (const piece of answer.textStream) text += piece;
    assert.equal(text, await chat("pirate"));
  });

  test(`${kind}: generateObject, and generateText with an output`, async () => {
    const long = { ...asked, maxOutputTokens: 400 };
    Mood.parse((await generateObject({ ...long, schema: Mood })).object);
    const answer = await generateText({
      ...long,
      output: Output.object({ schema: Mood }),
    });
    Mood.parse(answer.output);
  });

  test(`${kind}: a tool that has to be called is run`, async () => {
    let told;
    const answer = await generateText({
      ...asked,
      maxOutputTokens: 400,
      toolChoice: "required",
      tools: {
        mood: tool({
          description: "How it sounds",
          inputSchema: Mood,
          execute: async (input) => {
            told = input;
            return "noted";
          },
        }),
      },
    });
    Mood.parse(told);
    assert.equal(answer.toolResults[0].output, "noted");
  });
}

test("the page", async () => {
  assert.equal(example("AI SDK"), await chat("pirate"));
});
