// Watching: what the server is now, from /v1/events, for all parts of the page.
//
// The stream begins with everything as it is and then has a pulse: until that comes, what
// was shown stays. When the server goes away the page says so, and asks again, at first
// soon and then every ten seconds.

import { $, setText } from "./dom.js";
import { request, Refused } from "./api.js";
import { events } from "./sse.js";

const SILENCE_S = 12; // there is a pulse each second
const MOST_TURNS = 5000;
const LONGEST_WAIT_S = 10;

// `adapters`: rows of /v1/adapters, by name. `turns`: the oldest first, `begun` and
// `ended` in this machine's seconds. `pulse`: the last one, or null.
export const seen = { adapters: new Map(), turns: [], pulse: null, isConnected: false };

const listeners = [];
let changed = new Set();

// `listener(kinds)` hears, at most once a frame, what has changed: "adapters", "turns",
// "pulse" or "connection".
export function listen(listener) {
  listeners.push(listener);
}

export function tell(kind) {
  if (!changed.size) setTimeout(flush, 30);
  changed.add(kind);
}

function flush() {
  const kinds = changed;
  changed = new Set();
  for (const listener of listeners) listener(kinds);
}

export async function watch() {
  let waitS = 0.5;
  for (;;) {
    let trouble = "The connection has ended";
    try {
      const answer = await request("/v1/events");
      waitS = 0.5;
      await follow(answer);
    } catch (error) {
      trouble = why(error);
    }
    seen.isConnected = false;
    tell("connection");
    await pause(waitS, trouble);
    waitS = Math.min(waitS * 2, LONGEST_WAIT_S);
  }
}

async function follow(answer) {
  let fresh = { adapters: new Map(), turns: [] }; // until the first pulse
  for await (const { event, data } of events(answer, SILENCE_S)) {
    const body = JSON.parse(data);
    if (event === "adapter") {
      put(fresh ? fresh.adapters : seen.adapters, body);
      if (!fresh) tell("adapters");
    } else if (event === "turn") {
      if (fresh) fresh.turns.push(body);
      else add([body], seen.pulse);
    } else if (event === "pulse") {
      if (fresh) begin(fresh, body);
      fresh = null;
      seen.pulse = body;
      seen.offset = Date.now() / 1000 - body.now_s;
      tell("pulse");
    }
  }
}

function put(adapters, row) {
  if (row.state === "removed") adapters.delete(row.name);
  else adapters.set(row.name, row);
}

function begin(fresh, pulse) {
  seen.adapters = fresh.adapters;
  seen.turns = turns(); // the last one of before will not be told again
  const from = fresh.turns[0] ?? pulse.turn;
  if (from) { // told again, or of a server that has begun anew
    const begun = timed(from, pulse).begun;
    seen.turns = seen.turns.filter((turn) => turn.begun < begun - 0.05);
  }
  add(fresh.turns, pulse);
  seen.isConnected = true;
  setText($("connection"), "Connected");
  $("connection").dataset.state = "connected";
  for (const kind of ["adapters", "connection"]) tell(kind);
}

function add(turns, pulse) {
  seen.turns.push(...turns.map((turn) => timed(turn, pulse)));
  if (seen.turns.length > MOST_TURNS) seen.turns.splice(0, seen.turns.length - MOST_TURNS);
  tell("turns");
}

// The turns that are known, the one that goes on included.
export function turns() {
  const last = seen.pulse?.turn;
  if (!last) return seen.turns;
  const open = timed(last, seen.pulse);
  if (seen.isConnected && seen.pulse.live) open.ended = Date.now() / 1000; // as far as is known
  const before = seen.turns.at(-1);
  const isOld = before && before.number >= last.number && before.begun >= open.begun - 0.05;
  return isOld ? seen.turns : [...seen.turns, open];
}

// `begun`, `ended`: on this machine's clock, however far the two are apart.
export function timed(turn, pulse) {
  const offset = pulse === seen.pulse ? seen.offset : Date.now() / 1000 - pulse.now_s;
  const begun = turn.begun_s + offset;
  return { ...turn, begun, ended: begun + turn.seconds };
}

function why(error) {
  if (error instanceof Refused && error.status === 401) return "No key: this part needs an admin key";
  if (error instanceof Refused && error.status === 403) return `Not allowed: ${error.message}`;
  if (error instanceof Refused) return `The server answers ${error.status}: ${error.message}`;
  return "The server cannot be reached";
}

// Says what is wrong, and waits; less if the network comes back or somebody presses.
function pause(waitS, trouble) {
  const told = $("connection");
  told.dataset.state = "lost";
  setText(told, `${trouble}. Trying again\u2026`);
  return new Promise((resolve) => {
    const timer = setTimeout(done, waitS * 1000 * (0.8 + 0.4 * Math.random()));
    addEventListener("online", done);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
  });
}
