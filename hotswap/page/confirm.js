// Confirm: asks before something is lost. "Cancel" has the focus, Escape cancels.

import { $, element, fill, named } from "./dom.js";

export function confirmed({ title, name, lines, action }) {
  const box = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-yes").textContent = action;
  fill($("confirm-text"), element("p", {}, named(name, { class: "whole" })),
    ...lines.map((line) => element("p", {}, line)));
  box.returnValue = "no";
  return new Promise((resolve) => {
    box.addEventListener("close", () => resolve(box.returnValue === "yes"), { once: true });
    box.showModal();
  });
}
