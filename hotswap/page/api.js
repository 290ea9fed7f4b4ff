// API: requests to this server and no other. Where one is answered 401 the page asks for
// a key, which stays in this tab (sessionStorage) and goes out as a bearer token alone.

import { $ } from "./dom.js";

const PLACE = "hotswap-key";
let asking = null; // one dialog for all who need a key
let isDeclined = false; // then nobody is asked again until the button is pressed

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// The button that is there while a key is wanted and was not given.
$("enter-key").addEventListener("click", () => {
  isDeclined = false;
  dispatchEvent(new Event("online")); // whoever waits to try again does so now
});

$("key-no").addEventListener("click", () => $("key").close("no"));

// As `fetch`. Raises Refused with the server's own words if the answer is an error.
export async function request(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(PLACE);
    const headers = { ...options.headers };
    if (key) headers.authorization = `Bearer ${key}`;
    const answer = await fetch(path, {
      ...options, headers, credentials: "omit", cache: "no-store", redirect: "error",
    });
    if (answer.ok) return answer;
    if (answer.status === 401 && (await askForKey(key))) continue;
    throw new Refused(answer.status, await reason(answer));
  }
}

export function post(path, body, options = {}) {
  return request(path, {
    ...options,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

async function reason(answer) {
  const text = await answer.text().catch(() => "");
  try {
    const said = JSON.parse(text);
    const found = said.error?.message ?? said.message ?? said.error;
    if (typeof found === "string" && found) return found;
  } catch {
    // a proxy's page, perhaps: not ours to show
  }
  return `the server answered ${answer.status}`;
}

// True if there is another key than `refused` to try.
async function askForKey(refused) {
  const now = sessionStorage.getItem(PLACE);
  if (now && now !== refused) return true; // another request has asked meanwhile
  if (isDeclined) return false;
  asking ??= dialog(refused).finally(() => { asking = null; });
  return asking;
}

function dialog(refused) {
  const box = $("key");
  const field = $("key-value");
  $("key-title").textContent = refused ? "This key is not accepted" : "A key is needed";
  field.value = "";
  box.returnValue = "no";
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      const given = field.value.trim();
      field.value = "";
      const isGiven = box.returnValue === "yes" && given !== "";
      if (isGiven) sessionStorage.setItem(PLACE, given);
      isDeclined = !isGiven;
      $("enter-key").hidden = isGiven;
      resolve(isGiven);
    }, { once: true });
    box.showModal();
  });
}
