// The daemon: its token, requests, and streams that are taken up again.

/** From the link that `mho dashboard` prints; it must not stay in the address, where it would be copied, kept and shown. */
const token = (() => {
  const found = new URLSearchParams(location.hash.slice(1)).get("token") ?? new URLSearchParams(location.search).get("token");
  try {
    if (found) sessionStorage.setItem("mho-token", found);
    if (found) history.replaceState(null, "", location.pathname);
    return found ?? sessionStorage.getItem("mho-token");
  } catch {
    return found;
  }
})();

const headers = token ? { Authorization: `Bearer ${token}` } : {};

/** The answer of the API to a question; an Error with its words. */
async function ask(path) {
  const response = await fetch(`/api/v1${path}`, { headers });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

/** What came of an order, when it is done. */
async function order(path, parameters = {}) {
  const query = new URLSearchParams({ wait: "30s", ...parameters });
  const response = await fetch(`/api/v1${path}?${query}`, { method: "POST", headers });
  const answer = await response.json();
  return response.ok ? { ok: answer.ok, text: answer.message, done: answer.done } : { ok: false, text: answer.error, done: true };
}

/** Server-sent events: `take(kind, data)` for each, until the stream ends. A header cannot be had with EventSource. */
async function stream(path, signal, take) {
  const guard = new AbortController();
  // The daemon says something every 15 s: silence means that it is gone, or the way to it.
  let silence;
  const heard = () => { clearTimeout(silence); silence = setTimeout(() => guard.abort(), 40000); };
  const stop = () => guard.abort();
  signal.addEventListener("abort", stop);
  try {
    heard();
    const response = await fetch(`/api/v1${path}`, { headers: { ...headers, Accept: "text/event-stream" }, signal: guard.signal });
    if (!response.ok) throw Object.assign(new Error((await response.json()).error), { status: response.status });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const text of events) {
        const match = /^event: (\w+)\ndata: ([^]*)$/.exec(text);
        if (match) take(match[1], match[2]);
      }
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
    guard.abort();
  }
}

/** Follows the events for ever; tells of the connection, too. */
async function follow(take, tell) {
  for (let failures = 0; ; failures += 1) {
    let why = "the daemon ended the connection";
    try {
      await stream("/events", new AbortController().signal, (kind, data) => {
        failures = 0;
        if (kind === "status") tell("live", "");
        take(kind, JSON.parse(data));
      });
    } catch (error) {
      why = error.status ? error.message : "the daemon does not answer";
    }
    const pause = Math.min(5000, 250 * 2 ** failures);
    tell("lost", why);
    // Sooner, when the network is back or somebody looks again.
    await Promise.race([sleep(pause), new Promise((back) => addEventListener("online", back, { once: true }))]);
  }
}

/** A message that goes away by itself, unless something is wrong or can be done. */
function message(text, is_ok, action = null) {
  const close = () => box.remove();
  const act = action ? h("button", { type: "button", textContent: action.label, on: { click: () => { close(); action.act(); } } }) : null;
  const box = h("div", { className: is_ok ? "" : "bad" }, h("span", {}, text), act,
    h("button", { type: "button", textContent: "✕", ariaLabel: "Close this message", on: { click: close } }));
  $("messages").append(box);
  while ($("messages").children.length > 4) $("messages").firstChild.remove();
  if (is_ok) setTimeout(close, 8000);
}
