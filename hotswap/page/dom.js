// DOM: elements are made and filled here, and nowhere is a text made HTML.

export const $ = (id) => document.getElementById(id);

// element("td", {class: "n", title: "x"}, "text", child): strings become text nodes.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, String(value));
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
}

// A name as it is, however odd: isolated, so that its direction ends with it, with what
// cannot be seen made visible, and cut by CSS alone.
export function named(name, attributes = {}) {
  const said = visible(name);
  return element("bdi", { title: said, ...attributes, class: `name ${attributes.class ?? ""}` }, said);
}

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

export function visible(text) {
  return text.replace(UNSEEN, (c) => `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}

export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((c) => c !== null && c !== undefined));
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A table of few rows. `columns`: {label, numeric}; `rows`: lists of texts or elements.
// Roles are said in words: on a narrow screen CSS shows rows as blocks, and a browser
// would forget that they are a table.
export function table(caption, columns, rows, empty) {
  if (!rows.length) return element("p", { class: "hint" }, empty);
  const kind = (column) => (column.numeric ? "numeric" : null);
  const head = columns.map((c) =>
    element("th", { scope: "col", role: "columnheader", class: kind(c) }, c.label));
  const body = rows.map((cells) =>
    element("tr", { role: "row" }, ...cells.map((cell, n) =>
      element("td", { role: "cell", class: kind(columns[n]), "data-label": columns[n].label }, cell))));
  return element("table", { role: "table", "aria-label": caption },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...body));
}

// What has happened, for eyes and screen readers; errors stay until they are closed.
export function notice(text, isError = false) {
  const close = element("button", { type: "button", "aria-label": "Dismiss" }, "\u00d7");
  const made = element("div", { class: isError ? "notice error" : "notice", role: isError ? "alert" : "status" },
    element("span", {}, visible(text)), close);
  close.addEventListener("click", () => made.remove());
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  dialog?.addEventListener("close", () => made.remove(), { once: true });
  const place = dialog ?? $("notices"); // behind a dialog nobody would see or hear it
  place.append(made);
  const all = place.querySelectorAll(".notice");
  if (all.length > 4) all[0].remove();
  if (!isError) setTimeout(() => made.remove(), 8000);
}
