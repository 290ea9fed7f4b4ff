// Folder: validate one, or load it under a name. What a name stands for now is replaced
// only when somebody has said so.

import { $, element, fill, notice } from "./dom.js";
import { bytes, number, share } from "./format.js";
import { post, Refused } from "./api.js";
import { confirmed } from "./confirm.js";
import { REMEDIES } from "./remedies.js";
import { seen } from "./watching.js";

let isLoading = true; // else it is only looked at

export function begin() {
  $("open-load").addEventListener("click", () => open(true));
  $("open-validate").addEventListener("click", () => open(false));
  $("folder-check").addEventListener("click", check);
  $("folder-close").addEventListener("click", () => $("folder").close());
  $("folder-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (isLoading) load();
    else check();
  });
}

function open(loads, src = "") {
  isLoading = loads;
  $("folder-title").textContent = loads ? "Load an adapter from a folder" : "Validate a folder";
  $("folder-src").value = src;
  $("folder-name").value = "";
  $("folder-name").required = loads;
  $("folder-name-label").hidden = !loads;
  $("folder-load").hidden = !loads;
  fill($("folder-result"));
  $("folder").showModal();
  $("folder-src").focus();
}

export async function validate(src) {
  open(false, src);
  await check();
}

async function check() {
  const src = $("folder-src").value.trim();
  if (!src) return $("folder-src").reportValidity();
  await shown("Reading and checking…", async () => {
    const report = await (await post("/v1/adapters/validate", { src })).json();
    return report.ok ? good(report) : bad(report);
  });
}

function good(report) {
  const modes = report.can_merge && report.can_mix ? "It runs merged and mixed." : report.note ?? "";
  return [
    element("p", { class: "good" }, "It can be served. Nothing was loaded."),
    element("p", {}, `Generation ${report.generation}, rank ${number(report.rank)}, ${number(report.modules)} modules, ${bytes(report.bytes)}. ${modes}`),
    report.merge_loss === null ? null : element("p", {}, `A merge loses ${share(report.merge_loss)} of the update.`),
    ...report.warnings.map((warning) => element("p", {}, `To know: ${warning}`)),
  ];
}

function bad(report) {
  return [
    element("p", { class: "bad" }, `It would be refused (${report.code}).`),
    element("p", { class: "reason" }, report.reason),
    element("p", {}, element("strong", {}, "What to do: "), REMEDIES[report.code] ?? "Mend what the reason says."),
  ];
}

async function load() {
  const name = $("folder-name").value.trim();
  const src = $("folder-src").value.trim();
  const known = seen.adapters.get(name);
  const replaces = known !== undefined && known.state === "ready";
  if (replaces && !(await confirmed({
    title: "Replace what it stands for?",
    name,
    lines: [`It serves generation ${known.generation ?? "(not read yet)"} now. Jobs that run finish with it; requests that come after are answered by the new content, and the old one is gone from the server.`],
    action: "Replace",
  }))) return;
  await shown("Reading and checking…", async () => {
    const body = { lora_name: name, lora_path: src, ...(replaces ? { load_inplace: true } : {}) };
    const text = await (await post("/v1/load_lora_adapter", body)).text();
    $("folder").close();
    notice(text);
    return [];
  });
}

// What comes of it, or why nothing does; meanwhile nobody can press again.
async function shown(meanwhile, act) {
  const buttons = [$("folder-check"), $("folder-load")];
  const result = $("folder-result");
  fill(result, element("p", {}, meanwhile));
  for (const button of buttons) button.disabled = true;
  try {
    fill(result, ...(await act()));
  } catch (error) {
    const text = error instanceof Refused ? error.message : "The server cannot be reached.";
    fill(result, element("p", { class: "bad" }, text));
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}
