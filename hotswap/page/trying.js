// Try: one prompt on several adapters side by side, as each of them answers.

import { $, element, fill, named, notice, setText } from "./dom.js";
import { chip } from "./colours.js";
import { number, seconds } from "./format.js";
import { post } from "./api.js";
import { events } from "./sse.js";
import { listen, seen } from "./watching.js";

const MOST = 8;
const MOST_OPTIONS = 50;

let chosen = ["base"];
let running = null; // an AbortController

export function begin() {
  $("add").addEventListener("click", add);
  $("candidate").addEventListener("input", options);
  $("candidate").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  $("stop").addEventListener("click", () => running?.abort());
  listen((kinds) => { if (kinds.has("adapters") && !$("try").hidden) options(); });
  show();
}

// Of a thousand names only those that fit what is written.
export function options() {
  const wanted = $("candidate").value.trim().toLowerCase();
  const found = [];
  for (const row of [{ name: "base", state: "ready" }, ...seen.adapters.values()]) {
    if (row.state !== "ready" || chosen.includes(row.name) || !row.name.toLowerCase().includes(wanted)) continue;
    found.push(row.name);
    if (found.length >= MOST_OPTIONS) break;
  }
  fill($("candidates"), ...found.map((name) => element("option", { value: name })));
}

function add() {
  const name = $("candidate").value.trim();
  if (!name) return;
  if (chosen.length >= MOST) return notice(`${MOST} at most, side by side.`, true);
  if (!chosen.includes(name)) chosen.push(name);
  $("candidate").value = "";
  options();
  show();
}

function show() {
  fill($("chosen"), ...chosen.map((name) => element("li", {}, chip(name), named(name),
    element("button", {
      type: "button", "aria-label": `Do not ask ${name}`,
      onclick: () => { chosen = chosen.filter((other) => other !== name); show(); $("candidate").focus(); },
    }, "\u00d7"))));
  $("run").disabled = !chosen.length;
}

async function run() {
  running?.abort();
  const mine = running = new AbortController();
  const wanted = {
    prompt: $("prompt").value,
    max_tokens: Number($("most").value),
    temperature: Number($("temperature").value),
    stream: true,
    stream_options: { include_usage: true },
  };
  const cards = chosen.map(card);
  fill($("answers"), ...cards.map((each) => each.box));
  $("stop").disabled = false;
  setText($("try-state"), `Asking ${cards.length}\u2026`);
  const ended = await Promise.all(cards.map((each) => answer(each, wanted, mine.signal)));
  if (running !== mine) return; // asked anew meanwhile
  running = null;
  $("stop").disabled = true;
  const good = ended.filter(Boolean).length;
  setText($("try-state"), `${good} of ${cards.length} have answered.`);
}

function card(name) {
  const facts = {};
  const row = (term) => {
    facts[term] = element("dd", {}, "\u2026");
    return element("div", {}, element("dt", {}, term), facts[term]);
  };
  const text = element("pre", { tabindex: "0", "aria-label": `Answer of ${name}` });
  const box = element("article", { class: "answer", "aria-label": name },
    element("h3", {}, chip(name), named(name)),
    element("dl", { class: "facts small" }, ...["Mode", "Generation", "First token", "Tokens", "Ended"].map(row)),
    text);
  return { name, facts, text, box };
}

// True if it came to its end. The mode is that of the first token, as the header says.
async function answer({ name, facts, text, box }, wanted, signal) {
  const asked = performance.now();
  let first = null;
  let tokens = 0;
  try {
    const said = await post("/v1/completions", { ...wanted, adapter: name }, { signal });
    setText(facts.Mode, said.headers.get("x-hotswap-mode") ?? "unknown");
    setText(facts.Generation, said.headers.get("x-hotswap-generation") ?? "unknown");
    for await (const { data } of events(said)) {
      if (data === "[DONE]") break;
      const body = JSON.parse(data);
      if (body.error) throw new Error(body.error.message ?? "the answer has failed");
      const choice = body.choices[0];
      if (choice) {
        first ??= performance.now();
        setText(facts["First token"], seconds((first - asked) / 1000));
        text.append(choice.text);
        if (choice.finish_reason) setText(facts.Ended, choice.finish_reason);
      }
      tokens = body.usage?.completion_tokens ?? tokens;
    }
    const took = first === null ? NaN : (performance.now() - first) / 1000;
    setText(facts.Tokens, tokens > 1 && took > 0 ? `${number(tokens)}, then ${number((tokens - 1) / took)} a second` : number(tokens));
    return true;
  } catch (error) {
    const isStopped = signal.aborted;
    setText(facts.Ended, isStopped ? "stopped" : "failed");
    if (!isStopped) box.append(element("p", { class: "bad", role: "alert" }, error.message));
    return false;
  }
}
