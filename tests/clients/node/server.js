// The server under test, what its adapter says to "Hello", and the page's examples.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";

export const SERVER = process.env.CLIENTS_SERVER;
export const HELLO = [{ role: "user", content: "Hello" }];

export async function chat(adapter) {
  const said = async (name) => {
    const answer = await fetch(`${SERVER}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        adapter: name,
        messages: HELLO,
        max_tokens: 8,
        temperature: 0,
      }),
    });
    return (await answer.json()).choices[0].message.content;
  };
  const [its, base] = [await said(adapter), await said("base")];
  if (its === base) throw new Error("the adapter changes nothing");
  return its;
}

// What the first example below a heading of docs/clients.md prints.
export function example(heading) {
  const page = readFileSync("docs/clients.md", "utf8");
  const code = page.split(`\n### ${heading}\n`)[1].match(/```js\n([^]*?)```/)[1];
  const file = new URL(`./example-${process.pid}.mjs`, import.meta.url).pathname;
  writeFileSync(file, code.replaceAll("http://localhost:8080", SERVER));
  try {
    return execFileSync(process.execPath, [file], { encoding: "utf8" }).slice(0, -1);
  } finally {
    rmSync(file);
  }
}
