// Colours: each adapter has one of its own, the same on every visit; the base is grey.

const known = new Map();

export function colour(name) {
  let found = known.get(name);
  if (!found) {
    found = name === "base" ? "hsl(215 12% 58%)" : hued(name);
    if (known.size > 5000) known.clear();
    known.set(name, found);
  }
  return found;
}

// FNV-1a; the golden angle sets neighbours apart.
function hued(name) {
  let hash = 2166136261;
  for (let n = 0; n < name.length; n++) hash = Math.imul(hash ^ name.charCodeAt(n), 16777619) >>> 0;
  const hue = ((hash % 1000) * 137.508) % 360;
  return `hsl(${hue.toFixed(0)} ${55 + (hash % 3) * 10}% ${40 + ((hash >>> 8) % 4) * 7}%)`;
}

export function chip(name) {
  const made = document.createElement("span");
  made.className = "chip";
  made.setAttribute("aria-hidden", "true");
  made.style.background = colour(name);
  return made;
}
