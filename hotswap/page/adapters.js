// Adapters: a table that stays quick with a thousand rows - searched and sorted as data,
// drawn in slices.

import { $, element, fill, named, setText } from "./dom.js";
import { chip } from "./colours.js";
import { count, NONE, number, share } from "./format.js";
import { request } from "./api.js";
import { open } from "./detail.js";
import { listen, seen, tell } from "./watching.js";
import { place, runs } from "./words.js";

const SLICE = 100;
const FRESH_S = 5; // counts of requests are no news: they are asked for while shown

const COLUMNS = [
  { key: "name", label: "Adapter", of: (row) => row.name },
  { key: "state", label: "State", of: (row) => row.state },
  { key: "runs", label: "Runs", of: runs },
  { key: "place", label: "Where", of: (row) => ["resident", "slot", "stack", "host", "disk"].indexOf(row.residency) },
  { key: "format", label: "Format", of: (row) => row.format ?? "" },
  { key: "rank", label: "Rank", of: (row) => row.rank ?? -1, numeric: true },
  { key: "loss", label: "Lost in a merge", of: (row) => row.merge_loss ?? -1, numeric: true },
  { key: "requests", label: "Requests", of: (row) => row.requests ?? 0, numeric: true },
  { key: "generation", label: "Generation", of: (row) => row.generation ?? "" },
];

let sortBy = COLUMNS[0];
let isDown = false;
let most = SLICE;
const order = new Intl.Collator("en", { numeric: true });

export function begin() {
  head();
  for (const id of ["search", "state-filter"])
    $(id).addEventListener("input", () => { most = SLICE; show(); });
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", more);
  listen((kinds) => {
    if (kinds.has("adapters")) setText($("nav-count"), String(seen.adapters.size));
    if (!$("adapters").hidden && (kinds.has("adapters") || kinds.has("pulse"))) show();
  });
  setInterval(() => {
    if (!$("adapters").hidden && !document.hidden && seen.isConnected) refresh();
  }, FRESH_S * 1000);
}

export async function refresh() {
  try {
    const { data } = await (await request("/v1/adapters")).json();
    seen.adapters = new Map(data.map((row) => [row.name, row]));
    tell("adapters");
  } catch {
    // the connection says what is wrong
  }
}

function head() {
  const cells = COLUMNS.map((column) =>
    element("th", { scope: "col", role: "columnheader", class: column.numeric ? "numeric" : null },
      element("button", { type: "button", class: "sort", onclick: () => sort(column) }, column.label)));
  fill($("sort-by"), ...COLUMNS.map((column, n) => element("option", { value: n }, column.label)));
  $("sort-by").addEventListener("change", (event) => sort(COLUMNS[event.target.value]));
  fill($("adapter-table"), element("table", { role: "table", "aria-labelledby": "adapters-title" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...cells)),
    element("tbody", { role: "rowgroup" })));
}

function sort(column) {
  isDown = column === sortBy ? !isDown : Boolean(column.numeric);
  sortBy = column;
  most = SLICE;
  show();
}

// Places are as of the last news of the row; what computes now is as of the last pulse.
function residency(row) {
  const pulse = seen.pulse;
  if (!pulse || !row.generation) return row.residency;
  if (row.generation === pulse.resident) return "resident";
  if (pulse.held.some((slot) => slot.generation === row.generation)) return "slot";
  return row.residency === "resident" || row.residency === "slot" ? "host" : row.residency;
}

function matching() {
  const wanted = $("search").value.trim().toLowerCase();
  const state = $("state-filter").value;
  const found = [];
  for (const row of seen.adapters.values()) {
    if (state && row.state !== state) continue;
    const texts = [row.name, ...row.aliases, row.reason ?? ""];
    if (wanted && !texts.some((text) => text.toLowerCase().includes(wanted)) && !row.generation?.startsWith(wanted)) continue;
    found.push({ ...row, residency: residency(row) });
  }
  const by = sortBy.of;
  found.sort((a, b) => {
    const [x, y] = [by(a), by(b)];
    const sign = typeof x === "number" ? x - y : order.compare(x, y);
    return (isDown ? -sign : sign) || order.compare(a.name, b.name);
  });
  return found;
}

const drawn = new Map(); // name -> {row, line}: what has not changed is not made anew

export function show() {
  const rows = matching();
  const headers = $("adapter-table").querySelectorAll("th");
  COLUMNS.forEach((column, n) =>
    headers[n].setAttribute("aria-sort", column !== sortBy ? "none" : isDown ? "descending" : "ascending"));
  const lines = rows.slice(0, most).map(line);
  const body = $("adapter-table").querySelector("tbody");
  if (lines.length !== body.children.length || lines.some((each, n) => each !== body.children[n])) {
    const focused = document.activeElement?.closest?.("tbody tr")?.dataset.name;
    body.replaceChildren(...lines);
    if (focused !== undefined) drawn.get(focused)?.line.querySelector("button")?.focus();
  }
  if (drawn.size > 4 * most) drawn.clear();
  $("more").hidden = rows.length <= most;
  setText($("more"), `Show ${Math.min(SLICE, rows.length - most)} more of ${rows.length}`);
  const all = seen.adapters.size;
  setText($("found"), !all ? "No adapters are known." : rows.length === all ? count(all, "adapter", "adapters")
    : `${count(rows.length, "adapter", "adapters")} of ${all.toLocaleString("en")}`);
}

function more() {
  const first = most;
  most += SLICE;
  show();
  $("adapter-table").querySelectorAll("tbody tr")[first]?.querySelector("button")?.focus();
}

function line(row) {
  const said = JSON.stringify(row);
  const known = drawn.get(row.name);
  if (known?.said === said) return known.line;
  const cells = [
    element("button", { type: "button", class: "link", "aria-haspopup": "dialog", onclick: () => open(row.name) },
      element("span", { class: "one" }, chip(row.name), named(row.name)), row.pinned ? element("span", { class: "pin" }, " pinned") : null),
    element("span", {}, element("span", { class: "badge", "data-state": row.state }, row.state),
      row.reason ? element("span", { class: "reason" }, ` ${row.reason}`) : null),
    runs(row), place(row.residency), row.format ?? NONE, number(row.rank), share(row.merge_loss),
    number(row.requests), element("span", { class: "id" }, row.generation ?? NONE),
  ];
  const made = element("tr", { role: "row" }, ...cells.map((cell, n) =>
    element("td", { role: "cell", class: COLUMNS[n].numeric ? "numeric" : null, "data-label": COLUMNS[n].label }, cell)));
  made.dataset.name = row.name;
  drawn.set(row.name, { said, line: made });
  return made;
}
