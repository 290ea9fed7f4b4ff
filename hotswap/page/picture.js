// Picture: the last minutes as lanes - merged turns in their adapter's colour, mixed ones
// in stripes, steps aside - with swaps on top. Drawn anew a few times a second.

import { $, fill, element, named, setText } from "./dom.js";
import { chip, colour } from "./colours.js";
import { number, seconds } from "./format.js";
import { turns } from "./watching.js";
import { plainReason } from "./words.js";

const LANES = ["merged", "mixed", "aside"];
const TOP = 14; // swaps
const LANE = 34;
const GAP = 6;
const AXIS = 18;
const HEIGHT = TOP + LANES.length * (LANE + GAP) + AXIS;
const MOST_LEGEND = 8;

let chosen = null; // begun of the turn that is shown in words
let drawn = []; // {x, width, lane, turn}, as on the canvas

export function begin() {
  const canvas = $("canvas");
  canvas.addEventListener("pointermove", (event) => pick(at(event)));
  canvas.addEventListener("pointerleave", () => pick(null));
  $("picture").addEventListener("keydown", walk);
}

export function draw() {
  const canvas = $("canvas");
  const width = canvas.clientWidth;
  if (!width) return;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(HEIGHT * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(HEIGHT * scale);
  }
  const paint = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const ink = style.color;
  paint.setTransform(scale, 0, 0, scale, 0, 0);
  paint.clearRect(0, 0, width, HEIGHT);
  paint.font = `12px ${style.fontFamily}`;
  const span = Number($("span").value);
  const now = Date.now() / 1000;
  lanes(paint, width, style, ink);
  axis(paint, width, span, ink);
  const shown = turns().filter((turn) => turn.ended > now - span);
  drawn = shown.map((turn) => {
    const x = Math.max(0, ((turn.begun - now + span) / span) * width);
    const end = Math.min(width, ((turn.ended - now + span) / span) * width);
    return { x, width: Math.max(1.5, end - x), lane: lane(turn), turn };
  });
  for (const piece of drawn) bar(paint, piece, span, width, style);
  legend(shown);
}

function lane(turn) {
  return turn.is_aside ? 2 : turn.mode === "mixed" ? 1 : 0;
}

const top = (n) => TOP + n * (LANE + GAP);

function lanes(paint, width, style, ink) {
  paint.fillStyle = style.getPropertyValue("--lane");
  for (let n = 0; n < LANES.length; n++) paint.fillRect(0, top(n), width, LANE);
  paint.globalAlpha = 0.55;
  paint.fillStyle = ink;
  LANES.forEach((name, n) => paint.fillText(name, 5, top(n) + LANE / 2 + 4));
  paint.globalAlpha = 1;
}

function axis(paint, width, span, ink) {
  const step = [5, 10, 30, 60, 120].find((s) => (s / span) * width >= 64) ?? 120;
  paint.fillStyle = ink;
  paint.globalAlpha = 0.7;
  for (let ago = step; ago < span; ago += step) {
    const x = width - (ago / span) * width;
    paint.fillRect(x, TOP, 1, HEIGHT - AXIS - TOP);
    const text = ago % 60 ? `${ago} s` : `${ago / 60} min`;
    if (x > 20) paint.fillText(text, x - paint.measureText(text).width / 2, HEIGHT - 5);
  }
  paint.fillText("now", width - paint.measureText("now").width - 1, HEIGHT - 5);
  paint.globalAlpha = 1;
}

function bar(paint, { x, width, lane: n, turn }, span, whole, style) {
  const names = turn.adapters.length ? turn.adapters : ["base"];
  const y = top(n);
  if (names.length === 1 || width < 4) {
    paint.fillStyle = colour(names[Math.floor(names.length / 2)]);
    paint.fillRect(x, y, width, LANE);
  } else {
    const shown = names.slice(0, 8);
    shown.forEach((name, k) => {
      paint.fillStyle = colour(name);
      paint.fillRect(x, y + (k * LANE) / shown.length, width, LANE / shown.length);
    });
  }
  if (turn.swap) {
    paint.fillStyle = style.getPropertyValue("--swap");
    const wide = turn.swap === "cold" ? Math.max(5, (turn.swap_s / span) * whole) : 1.5;
    paint.fillRect(x, 2, Math.min(wide, Math.max(width, 5)), TOP - 4);
  }
  if (width > 46 && names.length === 1) label(paint, names[0], x, y, width);
  if (chosen === turn.begun) {
    paint.strokeStyle = style.color;
    paint.lineWidth = 2;
    paint.strokeRect(x, y + 1, width, LANE - 2);
  }
}

function label(paint, name, x, y, width) {
  const most = Math.floor((width - 12) / 7);
  const text = [...name.slice(0, 200)].slice(0, most).join("");
  paint.save();
  paint.beginPath();
  paint.rect(x, y, width, LANE);
  paint.clip();
  paint.fillStyle = "#fff";
  paint.strokeStyle = "rgb(0 0 0 / 55%)";
  paint.lineWidth = 2.5;
  paint.strokeText(text, x + 6, y + LANE / 2 + 4);
  paint.fillText(text, x + 6, y + LANE / 2 + 4);
  paint.restore();
}

let legendOf = "";

function legend(shown) {
  const spent = new Map();
  for (const turn of shown)
    for (const name of turn.adapters)
      spent.set(name, (spent.get(name) ?? 0) + turn.seconds / turn.adapters.length);
  const most = [...spent].sort((a, b) => b[1] - a[1]).slice(0, MOST_LEGEND).map(([name]) => name);
  const key = JSON.stringify([most, spent.size]);
  if (key === legendOf) return;
  legendOf = key;
  const rest = spent.size - most.length;
  fill($("legend"),
    ...most.map((name) => element("li", { class: "one" }, chip(name), named(name))),
    rest > 0 ? element("li", { class: "hint" }, `and ${rest} more`) : null);
}

function at(event) {
  const box = $("canvas").getBoundingClientRect();
  const x = event.clientX - box.left;
  const n = Math.floor((event.clientY - box.top - TOP) / (LANE + GAP));
  const near = drawn.filter((p) => p.lane === n && x >= p.x - 2 && x <= p.x + p.width + 2);
  return near.at(-1)?.turn ?? null;
}

function pick(turn) {
  if ((turn?.begun ?? null) === chosen) return;
  chosen = turn?.begun ?? null;
  setText($("turn-detail"), turn ? inWords(turn) : "");
  draw();
}

function walk(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined || !drawn.length) {
    if (event.key === "Escape") pick(null);
    return;
  }
  event.preventDefault();
  const now = drawn.findIndex((piece) => piece.turn.begun === chosen);
  const from = now < 0 ? drawn.length - (step < 0 ? 0 : 1) : now;
  pick(drawn[Math.min(drawn.length - 1, Math.max(0, from + step))].turn);
}

export function inWords(turn) {
  const who = turn.adapters.slice(0, 6).join(", ") || "base";
  const rest = turn.adapters.length > 6 ? ` and ${turn.adapters.length - 6} more` : "";
  const kind = turn.is_aside ? `a step aside, ${turn.mode}` : turn.mode;
  const swap = turn.swap ? `, after a ${turn.swap} swap of ${seconds(turn.swap_s)}` : "";
  return `${who}${rest}: ${kind}, ${number(turn.steps)} steps, ${number(turn.tokens)} tokens in ${seconds(turn.seconds)}${swap}. ${plainReason(turn)}`;
}
