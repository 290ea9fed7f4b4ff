// SSE: the events of a stream that `fetch` has opened. EventSource sends no headers, so
// no key; the format is the HTML standard's, section 9.2.6, as far as this server uses it.

// Yields {event, data}; ends with the stream. Raises if nothing comes for `silenceS`.
export async function* events(answer, silenceS = Infinity) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), silenceS);
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const found = parsed(block);
        if (found.data) yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const found = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue; // a comment
    const field = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") found.event = value;
    else if (field === "data") found.data += (found.data ? "\n" : "") + value;
  }
  return found;
}

function within(promise, limitS) {
  if (limitS === Infinity) return promise;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the server is silent")), limitS * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
