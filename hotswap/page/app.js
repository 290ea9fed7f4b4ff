// App: three parts of one page, by the address' hash; the connection; nothing else.

import { $, setText } from "./dom.js";
import * as adapters from "./adapters.js";
import * as detail from "./detail.js";
import * as folder from "./folder.js";
import * as now from "./now.js";
import * as trying from "./trying.js";
import { listen, seen, watch } from "./watching.js";

const PARTS = {
  now: () => now.show(),
  adapters: () => { adapters.show(); if (seen.isConnected) adapters.refresh(); },
  try: () => trying.options(),
};

function part() {
  const said = location.hash.slice(1);
  return said in PARTS ? said : "now";
}

function show(isAsked) {
  const wanted = part();
  for (const id of Object.keys(PARTS)) {
    $(id).hidden = id !== wanted;
    const link = document.querySelector(`nav a[href="#${id}"]`);
    if (id === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  PARTS[wanted]();
  if (isAsked) {
    $(`${wanted}-title`).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

for (const each of [adapters, detail, folder, now, trying]) each.begin();
addEventListener("hashchange", () => show(true));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash says which part is shown
  $("content").focus();
});
listen((kinds) => {
  if (!kinds.has("pulse") || !seen.pulse) return;
  setText($("model"), seen.pulse.model);
  const trouble = seen.pulse.trouble.join(" ");
  $("trouble").hidden = !trouble;
  setText($("trouble"), trouble);
});
show(false);
watch();
