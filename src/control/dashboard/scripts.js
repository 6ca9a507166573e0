// A card for each script: how it is, why, what next, and the buttons.

const STATE_TONES = {
  running: "ok", starting: "info", stopping: "info", waiting: "info", backoff: "warn", stopped: "warn", paused: "warn", failed: "bad",
  finished: "idle", skipped: "idle", idle: "idle", disabled: "idle",
};
const cards = new Map();
const shown = new Set();

/** The buttons of a card: what they say, what they do, when they can, and whether they ask first. */
const ACTIONS = {
  start: { label: () => "Start", can: (script) => script.pid === null && script.state !== "starting" },
  stop: { label: () => "Stop", can: (script) => script.pid !== null || ["waiting", "backoff", "starting"].includes(script.state), asks: true },
  restart: { label: () => "Restart", can: (script) => script.pid !== null || script.state === "backoff", asks: true },
  skip: {
    label: ({ window }) => (window === null || window.trading_date === dateOf(clock.now()) ? "Skip today" : `Skip ${dayName(window.trading_date)}`),
    // A run that has begun is stopped, not skipped.
    can: (script) => script.window !== null && clock.now() < ms(script.window.start) && !script.holds.some((hold) => hold.trading_date === script.window.trading_date),
    parameters: ({ window }) => ({ date: window.trading_date }),
  },
  pause: { label: () => "Pause", can: () => true },
  resume: { label: () => "Resume", can: (script) => script.holds.length > 0 || ["stopped", "skipped", "paused"].includes(script.state) },
};

/** What a button asks before it does it: the second click within 5 s does it. */
function asking(button, act) {
  let calm = null;
  let label = "";
  const rest = () => {
    if (calm === null) return;
    clearTimeout(calm);
    calm = null;
    button.classList.remove("armed");
    put(button, label);
  };
  button.addEventListener("blur", rest);
  button.addEventListener("click", () => {
    if (calm !== null) {
      rest();
      act();
      return;
    }
    label = button.textContent;
    button.classList.add("armed");
    put(button, `${label}: sure?`);
    calm = setTimeout(rest, 5000);
  });
}

async function act(name, verb, parameters) {
  const known = cards.get(name);
  known.busy = verb;
  renderScript(name);
  try {
    const { ok, text } = await order(`/scripts/${encodeURIComponent(name)}/${verb}`, parameters);
    const forced = verb === "start" && !ok && !parameters.force && text.includes("--force")
      ? { label: "Start all the same", act: () => act(name, verb, { force: 1 }) } : null;
    message(`${name}: ${text || `${verb}: done`}`, ok, forced);
  } catch {
    message(`${name}: nobody knows whether ${verb} was done: the connection was lost`, false);
  }
  if (known.busy === verb) known.busy = null;
  renderScript(name);
}

function makeCard(name) {
  const parts = Object.fromEntries(["since", "state", "reason", "next", "facts", "extra"].map((part) => [part, h(part === "since" || part === "state" ? "span" : "p", { className: part })]));
  parts.since.className = "muted";
  parts.bar = h("i");
  parts.limit = h("div", { className: "limit", ariaHidden: "true" }, parts.bar);
  parts.buttons = {};
  const actions = h("div", { className: "actions" });
  for (const [verb, { asks, parameters }] of Object.entries(ACTIONS)) {
    const button = h("button", { type: "button", data: { action: verb, of: name } });
    const run = () => act(name, verb, parameters ? parameters(model.scripts.get(name)) : {});
    if (asks) asking(button, run); else button.addEventListener("click", run);
    parts.buttons[verb] = button;
    actions.append(button);
  }
  const log = h("button", { type: "button", textContent: "Log", data: { action: "log" }, ariaLabel: `Log of ${name}`, on: { click: () => showLog(name, null) } });
  actions.append(log);
  const more = h("button", { type: "button", className: "more", textContent: "⋯", ariaLabel: `Buttons of ${name}`, ariaExpanded: "false" });
  const title = h("div", { className: "title" }, h("h3", {}, name), parts.since, parts.state, more);
  more.addEventListener("click", () => { more.ariaExpanded = String(card.classList.toggle("open")); });
  const card = h("article", { className: "card", ariaLabel: name, data: { script: name } }, title, parts.reason, parts.next, parts.facts, parts.limit, parts.extra, actions);
  return { card, parts, busy: null, use: null };
}

function facts(script, use) {
  const now = clock.now();
  const list = [];
  if (script.pid !== null) {
    const limit = script.deadline ?? script.stop_at;
    const up = span(now - ms(script.started_at));
    list.push(`PID ${script.pid}`, limit ? `up ${up}, ${script.deadline ? "limit" : "until"} ${when(ms(limit))}` : `up ${up}`);
    if (script.memory_bytes !== null) list.push(bytes(script.memory_bytes));
    if (use?.cpu !== undefined) list.push(`CPU ${use.cpu.toFixed(use.cpu < 10 ? 1 : 0)} %`);
    list.push(script.last_output_at ? `output ${span(now - ms(script.last_output_at))} ago` : "no output yet");
  }
  if (script.attempt > 1) list.push(`attempt ${script.attempt}`);
  if (script.restarts > 0) list.push(`${script.restarts} ${script.restarts === 1 ? "restart" : "restarts"}`);
  if (script.last_exit && script.pid === null) {
    const { code, signal, at } = script.last_exit;
    list.push(`last exit ${signal ?? (code === null ? script.last_exit.result : `code ${code}`)} at ${when(ms(at))}`);
  }
  return list;
}

/** What is out of plan, or meant to be known. */
function extra(script) {
  const list = script.holds.map((hold) => {
    const what = hold.kind === "skip" ? `skips ${dayName(hold.trading_date)}` : hold.until ? `paused until ${when(ms(hold.until))}` : "paused until resumed";
    return `${what} (${hold.who}${hold.reason ? `: ${hold.reason}` : ""})`;
  });
  if (script.forced) list.push("forced outside its window");
  if (script.pending.length > 0) list.push(`takes effect at its next start: ${script.pending.join(", ")}`);
  return list.join(" · ");
}

function renderScript(name) {
  const script = model.scripts.get(name);
  const known = cards.get(name);
  if (!script || !known) return;
  const { card, parts } = known;
  if (card.dataset.state !== script.state) card.dataset.state = script.state;
  card.dataset.tone = STATE_TONES[script.state] ?? "idle";
  card.hidden = shown.size > 0 && !shown.has(script.state);
  put(parts.state, script.state);
  put(parts.reason, [script.reason, script.status_text ? `says: ${script.status_text}` : ""].filter(Boolean).join("; "));
  for (const [verb, button] of Object.entries(parts.buttons)) {
    const { label, can } = ACTIONS[verb];
    if (!button.classList.contains("armed")) put(button, known.busy === verb ? "…" : label(script));
    button.ariaLabel = `${button.textContent} ${name}`;
    button.disabled = !token || !model.connected || known.busy === verb || !can(script);
    if (verb === "pause" || verb === "resume") button.hidden = (verb === "resume") !== ACTIONS.resume.can(script);
  }
  put(parts.extra, extra(script));
  parts.extra.hidden = parts.extra.textContent === "";
  tickScript(name);
}

/** What changes by itself as time goes by. */
function tickScript(name) {
  const script = model.scripts.get(name);
  const { parts, use } = cards.get(name);
  const now = clock.now();
  put(parts.since, script.since && script.pid === null ? `for ${span(now - ms(script.since))}` : "");
  put(parts.next, script.next ? `Next: ${script.next.action} at ${when(ms(script.next.at))}, in ${span(ms(script.next.at) - now)}` : "");
  parts.next.hidden = script.next === null;
  const list = facts(script, use);
  if (parts.facts.children.length !== list.length) parts.facts.replaceChildren(...list.map(() => h("span")));
  list.forEach((text, index) => put(parts.facts.children[index], text));
  const limit = ms(script.deadline ?? script.stop_at);
  parts.limit.hidden = script.pid === null || limit === null;
  if (!parts.limit.hidden) {
    const begin = ms(script.started_at);
    parts.bar.style.width = `${clamp((now - begin) / (limit - begin), 0, 1) * 100}%`;
  }
}

/** Processor time since the last look, in percent of one processor. */
function takeGauges(list) {
  const here = performance.now();
  for (const gauges of list) {
    const script = model.scripts.get(gauges.name);
    const known = cards.get(gauges.name);
    if (!script || !known) continue;
    Object.assign(script, gauges);
    const before = known.use;
    known.use = { pid: script.pid, seconds: gauges.cpu_seconds, here };
    if (before?.pid === script.pid && before.seconds !== null && here > before.here) {
      known.use.cpu = Math.max(0, ((gauges.cpu_seconds - before.seconds) * 100000) / (here - before.here));
    }
  }
}

function renderFilters() {
  const counts = new Map();
  for (const { state } of model.scripts.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
  for (const state of shown) if (!counts.has(state)) counts.set(state, 0);
  const has = new Map([...$("filters").children].map((button) => [button.dataset.filter, button]));
  for (const [state, button] of has) if (!counts.has(state)) button.remove();
  for (const state of Object.keys(STATE_TONES).filter((known) => counts.has(known))) {
    const toggle = () => { if (!shown.delete(state)) shown.add(state); renderScripts(); };
    const button = has.get(state) ?? h("button", { type: "button", data: { filter: state }, on: { click: toggle } });
    button.ariaPressed = String(shown.has(state));
    put(button, `${counts.get(state)} ${state}`);
    $("filters").append(button);
  }
}

function renderScripts() {
  const order = [...model.scripts.keys()];
  for (const [name, { card }] of cards) {
    if (!model.scripts.has(name)) { card.remove(); cards.delete(name); }
  }
  order.forEach((name, index) => {
    if (!cards.has(name)) cards.set(name, makeCard(name));
    const { card } = cards.get(name);
    if ($("scripts").children[index] !== card) $("scripts").insertBefore(card, $("scripts").children[index] ?? null);
    renderScript(name);
  });
  $("scripts").classList.toggle("dense", order.length > 12);
  renderFilters();
}

function bindAll() {
  $("read-only").hidden = token !== null;
  const orders = { "pause-all": ["/pause", "all paused"], "resume-all": ["/resume", "all resumed"], reload: ["/reload", "reloaded"] };
  for (const [action, [path, done]] of Object.entries(orders)) {
    const button = document.querySelector(`[data-action="${action}"]`);
    button.disabled = !token;
    asking(button, async () => {
      try {
        const { ok, text } = await order(path);
        message(text || done, ok);
      } catch {
        message("nobody knows whether this was done: the connection was lost", false);
      }
    });
  }
}
