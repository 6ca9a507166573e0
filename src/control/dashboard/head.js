// The head: how all is, what the market does, and what comes next.

const PHASES = { closed: "Closed", pre: "Pre-market", open: "Open", break: "Break", post: "Post-market" };
const TONES = { ok: "#1f8a54", attention: "#c77700", critical: "#d02030", closed: "#7b8796", unknown: "#7b8796" };

function showVerdict() {
  const { level, text } = model.connected ? model.verdict : { level: "unknown", text: `no connection: what is shown was so at ${model.seen}` };
  const element = $("verdict");
  if (element.dataset.level !== level) element.dataset.level = level;
  put(element.firstElementChild, level === "unknown" ? "UNKNOWN" : level.toUpperCase());
  put(element.lastElementChild, text);
  const title = `${level.toUpperCase()} · mho${model.rehearsal ? " (rehearsal)" : ""}`;
  if (document.title === title) return;
  document.title = title;
  const dot = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${TONES[level]}"/></svg>`;
  $("icon").href = `data:image/svg+xml,${encodeURIComponent(dot)}`;
}

function showBanner() {
  const troubles = [];
  if (model.killed_by) troubles.push(`The kill file ${model.killed_by} exists: everything is stopped and nothing starts until it is removed.`);
  if (!model.journal_ok) troubles.push("The journal cannot be written: a restart of the daemon would forget what happens now.");
  put($("banner"), troubles.join(" "));
  $("banner").hidden = troubles.length === 0;
}

/** What the next boundary will do. */
function deed({ boundary, scripts }) {
  const who = names(scripts);
  switch (boundary) {
    case "start": return `start of ${who}`;
    case "stop": return `stop of ${who}`;
    case "deadline": return `time limit of ${who}`;
    default: return `${boundary} of the market`;
  }
}

function tickHead() {
  const now = clock.now();
  const { market } = model;
  put($("clock"), local(now, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" }) + ` ${zoneName(now)}`);
  put($("phase"), `${PHASES[market.phase] ?? market.phase} · ${market.calendar}, ${market.reason}${market.early_close ? ` · half day, close ${when(ms(market.close))}` : ""}`);
  const next = market.next;
  put($("countdown"), next ? `in ${span(ms(next.at) - now)}: ${deed(next)} at ${when(ms(next.at))}` : "nothing is planned");
}

function showConnection(state, why) {
  const element = $("connection");
  element.dataset.state = state;
  put(element, state === "live" ? "live" : `not connected: ${why}; trying again`);
  document.body.classList.toggle("lost", state !== "live");
}
