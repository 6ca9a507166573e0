// Small tools that the rest is made of. Text gets into the page as text alone, never as markup.

/** An element by its id. */
const $ = (id) => document.getElementById(id);

/** A new element; what is not a property of it becomes an attribute. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Sets what has changed, and nothing else: what is read out or pointed at stays where it is. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts many calls within `delay` ms into one. */
function soon(delay, act) {
  let timer = null;
  return () => {
    if (timer === null) timer = setTimeout(() => { timer = null; act(); }, delay);
  };
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ms = (instant) => (instant ? Date.parse(instant) : null);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The market clock, which may run faster than ours, and differ from it. */
const clock = {
  zone: "UTC", wall: Date.now(), here: performance.now(), speed: 1,
  now() { return this.wall + (performance.now() - this.here) * this.speed; },
  set(instant) {
    const wall = ms(instant);
    // What is on its way for a moment is no change.
    if (Math.abs(wall - this.now()) > 1000 * this.speed) Object.assign(this, { wall, here: performance.now() });
  },
  start(status) {
    Object.assign(this, { zone: status.market.timezone, speed: status.speed, wall: ms(status.now), here: performance.now() });
  },
};

const formats = new Map();

/** `at` (ms) as these parts, in the exchange's zone. */
function local(at, parts) {
  const key = clock.zone + JSON.stringify(parts);
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: clock.zone, hourCycle: "h23", ...parts }));
  }
  return formats.get(key).format(at);
}

/** The name of the exchange's zone at this time, such as EST. */
function zoneName(at) {
  const format = new Intl.DateTimeFormat("en-US", { timeZone: clock.zone, timeZoneName: "short" });
  return format.formatToParts(at).find((part) => part.type === "timeZoneName").value;
}

/** Its civil date there, as 2026-11-27. */
function dateOf(at) {
  const parts = local(at, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/");
  return parts.reverse().join("-");
}

/** A date as "Fri 27 Nov", whatever the zone. */
function dayName(date) {
  const at = new Date(`${date}T12:00:00Z`);
  return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" }).format(at).replace(",", "");
}

function plusDays(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86400000).toISOString().slice(0, 10);
}

/** A time of day; with its date if that is another day. */
function when(at) {
  if (at === null) return "–";
  const seconds = Math.floor(at / 1000) % 60 !== 0;
  const time = local(at, { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
  const date = dateOf(at);
  return date === dateOf(clock.now()) ? time : `${dayName(date)}, ${time}`;
}

/** A span of time in its two largest units. */
function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [d, hours, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value) => String(value).padStart(2, "0");
  if (d > 0) return `${d} d ${two(hours)} h`;
  if (hours > 0) return `${hours} h ${two(m)} min`;
  if (m > 0) return `${m} min ${two(s)} s`;
  return `${s} s`;
}

function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${(count / size).toFixed(count >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${count} B`;
}

/** "a", "a and b", "a, b and 7 others". */
function names(list) {
  if (list.length <= 2) return list.join(" and ");
  const [one, two, ...rest] = list;
  return rest.length === 1 ? `${one}, ${two} and ${rest[0]}` : `${one}, ${two} and ${rest.length} others`;
}

/** What became of a run or a process: its colour, its sign, and in words. */
const RESULTS = {
  running: ["live", "▶", "runs"],
  succeeded: ["ok", "✓", "succeeded"],
  finished_early: ["ok", "✓", "finished early"],
  window_end: ["ok", "✓", "stopped at the end of its window"],
  stopped: ["ok", "✓", "stopped"],
  killed_after_grace: ["warn", "■", "killed after its grace"],
  carried: ["ok", "→", "carried over into the next date"],
  stopped_by_operator: ["warn", "■", "stopped by hand"],
  time_limit: ["warn", "◷", "ended by its time limit"],
  interrupted: ["warn", "~", "interrupted: no daemon was there at its end"],
  lost: ["warn", "~", "lost: the daemon ended"],
  failed: ["bad", "✕", "failed"],
  crashed: ["bad", "✕", "crashed"],
  signaled: ["bad", "✕", "killed by a signal"],
  spawn_failed: ["bad", "✕", "could not be started"],
  missed: ["bad", "!", "missed"],
  skipped: ["idle", "–", "skipped"],
};
const resultOf = (result) => RESULTS[result] ?? ["idle", "·", result ?? "nothing recorded"];
