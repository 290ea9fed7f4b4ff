// Detail: all that is known of one adapter, and what can be done with it.

import { $, element, fill, named, notice, setText } from "./dom.js";
import { NONE, bytes, number, share } from "./format.js";
import { post } from "./api.js";
import { confirmed } from "./confirm.js";
import { validate } from "./folder.js";
import { remedy } from "./remedies.js";
import { listen, seen, tell } from "./watching.js";
import { place, runs } from "./words.js";

let shown = null; // the name

export function begin() {
  $("detail").addEventListener("close", () => {
    focusRow(shown);
    shown = null;
  });
  listen((kinds) => { if (shown !== null && kinds.has("adapters")) show(); });
}

// The row may have been made anew, or be gone: the focus would be nowhere.
function focusRow(name) {
  if (document.activeElement !== document.body) return;
  const rows = [...$("adapter-table").querySelectorAll("tbody tr")];
  const button = rows.find((row) => row.dataset.name === name)?.querySelector("button");
  (button ?? $("search")).focus();
}

export function open(name) {
  shown = name;
  show();
  $("detail").showModal();
}

function show() {
  const row = seen.adapters.get(shown);
  fill($("detail-title"), named(shown, { class: "whole" }));
  if (!row) {
    fill($("detail-body"), element("p", {}, "It is not there any more."));
    fill($("detail-actions"));
    return;
  }
  fill($("detail-body"), failure(row), facts(row));
  const focused = document.activeElement?.dataset?.action;
  fill($("detail-actions"), ...actions(row));
  if (focused) $("detail-actions").querySelector(`[data-action="${focused}"]`)?.focus();
}

function failure(row) {
  if (!row.reason) return null;
  const title = row.state === "ready" ? "Its new files are refused; the old content serves on."
    : row.state === "failed" ? "It is not served." : "It is not ready.";
  return element("div", { class: "failure" },
    element("p", {}, element("strong", {}, title), row.refusal ? ` (${row.refusal})` : ""),
    element("p", { class: "reason" }, row.reason),
    element("p", {}, element("strong", {}, "What to do: "), remedy(row)));
}

function facts(row) {
  const said = [
    ["State", element("span", { class: "badge", "data-state": row.state }, row.state)],
    ["Generation", row.generation ?? NONE],
    ["Runs", runs(row) + (row.note ? ` (${row.note})` : "")],
    ["Where", place(row.residency)],
    ["Format", row.format ?? NONE],
    ["Rank", row.rank === null ? NONE : `${number(row.rank)} at most, in ${number(row.modules)} modules, ${bytes(row.bytes)}`],
    ["Merge fidelity", row.merge_loss === null ? "not measured" : `${share(1 - row.merge_loss)} of the update survives rounding; ${share(row.merge_loss)} is lost`],
    ["Jobs", `${number(row.leases)} now, ${number(row.requests)} since it came`],
    ["Memory", row.pinned ? "pinned: it never leaves host memory" : row.preload ? "read when it came" : "read when it is asked for"],
    ["Source", element("bdi", {}, row.source)],
    ["Other names", row.aliases.length ? row.aliases.join(", ") : NONE],
    ["Sum of", row.composition ?? NONE],
    ["To know", row.warnings.length ? row.warnings.join("; ") : NONE],
  ];
  return element("dl", { class: "facts" },
    ...said.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}

function actions(row) {
  const button = (label, act, kind = "") =>
    element("button", { type: "button", class: kind, "data-action": label, onclick: () => done(act, row) }, label);
  const isSum = row.composition !== null;
  return [
    row.pinned ? button("Unpin", unpin) : row.state === "ready" && row.preload ? button("Pin", pin) : null,
    isSum ? null : button("Validate its folder", () => validate(row.source)),
    row.composition === row.name ? null : button("Unload…", unload, "danger"),
  ].filter(Boolean);
}

// An error is told, and nothing is taken to have happened.
async function done(act, row) {
  try {
    await act(row);
  } catch (error) {
    notice(error.message, true);
  }
}

async function pin({ name }) {
  take(await post(`/v1/adapters/${encodeURIComponent(name)}/pin`));
  notice(`${name} stays in host memory.`);
}

async function unpin({ name }) {
  const isSure = await confirmed({
    title: "Unpin it?",
    name,
    lines: ["Under pressure it may leave host memory. The next request then waits until it is read again, and its place among the pinned ones may be taken."],
    action: "Unpin",
  });
  if (!isSure) return;
  take(await post(`/v1/adapters/${encodeURIComponent(name)}/unpin`));
  notice(`${name} may leave host memory.`);
}

async function take(answer) {
  const row = await answer.json();
  seen.adapters.set(row.name, row);
  tell("adapters");
}

async function unload(row) {
  const { name } = row;
  const isSure = await confirmed({
    title: "Unload it?",
    name,
    lines: [
      row.leases ? `${number(row.leases)} jobs that it answers now are answered to their end.` : "No job holds it now.",
      "From then on, requests that name it get an error; the bare model does not answer in its place.",
      "Its files stay where they are. A folder of the adapters directory is served again when its files change; one from elsewhere has to be loaded again.",
    ],
    action: "Unload",
  });
  if (!isSure) return;
  await post("/v1/unload_lora_adapter", { lora_name: name });
  seen.adapters.delete(name);
  tell("adapters");
  $("detail").close();
  notice(`${name} is unloaded.`);
}
