// Now: what runs, and why; the figures that clients feel; who waits; what is held.

import { $, element, fill, named, setText, table } from "./dom.js";
import { chip } from "./colours.js";
import { count, number, seconds, share } from "./format.js";
import * as picture from "./picture.js";
import { listen, seen, turns } from "./watching.js";
import { COSTS, plainReason } from "./words.js";

const MOST_TURNS = 25;
const MOST_NAMES = 5;
let isPaused = false; // for who reads slowly, or by ear

export function begin() {
  picture.begin();
  listen((kinds) => {
    if ($("now").hidden || isPaused) return;
    if (kinds.has("pulse") || kinds.has("connection")) show();
  });
  $("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    $("pause").setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) show();
  });
  $("span").addEventListener("change", picture.draw);
  addEventListener("resize", picture.draw);
  const slow = matchMedia("(prefers-reduced-motion: reduce)").matches;
  setInterval(() => {
    if (!$("now").hidden && !document.hidden && !isPaused) picture.draw();
  }, slow ? 1000 : 200);
}

export function show() {
  const pulse = seen.pulse;
  if (!pulse) return;
  headline(pulse);
  figures(pulse);
  queues(pulse);
  slots(pulse);
  costs(pulse);
  lastTurns();
  picture.draw();
}

function headline(pulse) {
  const turn = pulse.turn;
  const isIdle = !pulse.live && !pulse.waiting;
  const state = !seen.isConnected ? "unknown" : isIdle || !turn ? "idle" : turn.mode;
  const badge = $("state");
  badge.dataset.state = state;
  setText(badge, state);
  const names = isIdle || !turn ? holders(pulse, pulse.resident) : turn.adapters;
  const before = state === "idle" ? "The weights hold " : state === "unknown" ? "Last seen with " : "";
  fill($("state-of"), before, ...list(names.length ? names : ["base"]));
  setText($("state-why"), state === "idle" || !turn ? "Nothing waits and nothing runs." : plainReason(turn));
}

function holders(pulse, generation) {
  return pulse.held.find((slot) => slot.generation === generation)?.adapters ?? [];
}

// Names with their colours, and how many there are beyond the first few.
function list(names) {
  const shown = names.slice(0, MOST_NAMES).flatMap((name, n) =>
    [n ? ", " : "", element("span", { class: "one" }, chip(name), named(name))]);
  const rest = names.length - MOST_NAMES;
  return rest > 0 ? [...shown, ` and ${rest} more`] : shown;
}

const FIGURES = [
  ["Tokens per second", (p) => number(p.generated_tokens_per_s), (p) => `and ${number(p.prefill_tokens_per_s)} of prompts`],
  ["First token, median", (p) => seconds(p.latencies.first_token_s.p50), (p) => `99 % within ${seconds(p.latencies.first_token_s.p99)}`],
  ["Between tokens, median", (p) => seconds(p.latencies.between_tokens_s.p50), (p) => `99 % within ${seconds(p.latencies.between_tokens_s.p99)}`],
  ["Jobs that wait", (p) => number(p.waiting), (p) => `${number(p.live)} have begun; ${seconds(p.queue_s)} expected`],
  ["KV in use", (p) => share(1 - p.free_kv_tokens / p.kv_tokens), (p) => `${number(p.kv_tokens - p.free_kv_tokens)} of ${number(p.kv_tokens)} tokens`],
  ["Predictions are off by", (p) => share(p.cost_error), () => "the median of the last steps"],
];

function figures(pulse) {
  const place = $("figures");
  if (!place.children.length)
    fill(place, ...FIGURES.map(([label]) =>
      element("div", {}, element("dt", {}, label), element("dd", { class: "value" }), element("dd", { class: "hint" }))));
  FIGURES.forEach(([, value, hint], n) => {
    const [, first, second] = place.children[n].children;
    setText(first, value(pulse));
    setText(second, hint(pulse));
  });
}

function queues(pulse) {
  const rows = pulse.queues.map((queue) => [
    element("span", { class: "one" }, chip(queue.adapter), named(queue.adapter)),
    number(queue.waiting), number(queue.live), seconds(queue.oldest_s),
  ]);
  const columns = [{ label: "Adapter" }, { label: "Waiting", numeric: true },
    { label: "Begun", numeric: true }, { label: "Oldest waits", numeric: true }];
  const rest = pulse.queues_left_out;
  fill($("queues"), table("Jobs by adapter", columns, rows, "No jobs."),
    rest ? element("p", { class: "hint" }, `and ${count(rest, "adapter", "adapters")} with fewer jobs`) : null);
}

function slots(pulse) {
  const rows = pulse.held.map((slot) => [
    slot.adapters.length ? element("span", {}, ...list(slot.adapters)) : "content that was replaced and still runs",
    element("span", { class: "id" }, slot.generation),
    slot.generation === pulse.resident ? "computes now" : slot.generation === "base" ? "golden, or a slot" : "a warm swap away",
  ]);
  fill($("slots"),
    table("Merged weights that are held", [{ label: "Adapter" }, { label: "Generation" }, { label: "State" }], rows, "None."),
    element("p", { class: "hint" }, `${count(pulse.slots, "slot", "slots")} for merged weights.`));
}

function costs(pulse) {
  const rows = Object.entries(pulse.costs).map(([key, value]) => [COSTS[key] ?? key, seconds(value)]);
  fill($("costs"), table("Measured costs", [{ label: "What" }, { label: "Time", numeric: true }], rows, "Nothing was measured yet."));
  setText($("cost-error"), pulse.cost_error === null ? "No step was predicted yet."
    : `Half of the last predictions of a step were off by less than ${share(pulse.cost_error)}.`);
}

function lastTurns() {
  const now = Date.now() / 1000;
  const rows = turns().slice(-MOST_TURNS).reverse().map((turn) => [
    `${seconds(Math.max(0, now - turn.begun))} ago`,
    turn.is_aside ? `${turn.mode}, aside` : turn.mode,
    element("span", {}, ...list(turn.adapters)),
    number(turn.steps), number(turn.tokens), seconds(turn.seconds),
    turn.swap ? `${turn.swap}, ${seconds(turn.swap_s)}` : "none",
    element("span", { title: turn.why }, plainReason(turn)),
  ]);
  const columns = [{ label: "Began" }, { label: "Mode" }, { label: "Adapters" }, { label: "Steps", numeric: true },
    { label: "Tokens", numeric: true }, { label: "Took", numeric: true }, { label: "Swap" }, { label: "Why" }];
  fill($("turns"), table("The last turns", columns, rows, "No turn yet."));
}
