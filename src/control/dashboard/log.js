// The log: what the daemon tells from now on, or the output of one script, now or of an earlier date.

const KEPT = 2000;
const log = { of: "", date: null, lines: [], waiting: 0, paused: false, abort: null };

const matches = (text) => text.toLowerCase().includes($("log-filter").value.trim().toLowerCase());

function lineElement({ text, level }) {
  return h("div", { className: level ?? "", hidden: !matches(text) }, text);
}

function noteLog(text) {
  put($("log-note"), text);
}

function addLine(line) {
  log.lines.push(line);
  if (log.lines.length > KEPT) log.lines.shift();
  if (log.paused) {
    log.waiting += 1;
    noteLog(`paused; ${log.waiting} new lines`);
    return;
  }
  const box = $("log");
  const is_at_end = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  box.append(lineElement(line));
  while (box.children.length > KEPT) box.firstChild.remove();
  if (is_at_end) box.scrollTop = box.scrollHeight;
}

function renderLog() {
  $("log").replaceChildren(...log.lines.map(lineElement));
  $("log").scrollTop = $("log").scrollHeight;
}

/** What the daemon itself tells: kept also while a script's log is shown. */
const told = [];

function takeNotice({ at, level, text }) {
  const line = { text: `${local(ms(at), { hour: "2-digit", minute: "2-digit", second: "2-digit" })} ${level} ${text}`, level };
  told.push(line);
  if (told.length > KEPT) told.shift();
  if (log.of === "") addLine(line);
}

async function readLog(name, date, signal) {
  const path = `/scripts/${encodeURIComponent(name)}/log?tail=500`;
  if (date) {
    const response = await fetch(`/api/v1${path}&date=${date}`, { headers, signal });
    const text = await response.text();
    if (!response.ok) throw new Error(JSON.parse(text).error);
    for (const line of text.split("\n").slice(0, -1)) addLine({ text: line });
    noteLog(log.lines.length === 0 ? "it printed nothing" : "");
    return;
  }
  for (;;) {
    log.lines = [];
    renderLog();
    try {
      await stream(`${path}&follow=1`, signal, (kind, text) => addLine({ text }));
    } catch (error) {
      if (signal.aborted) return;
      noteLog(error.status ? error.message : "the connection was lost; trying again");
    }
    if (signal.aborted) return;
    await sleep(2000);
    if (signal.aborted) return;
    if (!log.paused) noteLog("");
  }
}

/** Shows the log of this script, of a date that is over or as it grows; "" = the daemon's own. */
function chooseLog(name, date) {
  log.abort?.abort();
  const today = model.scripts.get(name)?.trading_date;
  Object.assign(log, { of: name, date: date === today ? null : date, lines: name === "" ? [...told] : [], waiting: 0, abort: new AbortController() });
  $("log-of").value = name;
  $("log-date").hidden = log.date === null;
  put($("log-date"), log.date ?? "");
  noteLog("");
  pauseLog(false);
  renderLog();
  const { signal } = log.abort;
  if (name !== "") readLog(name, log.date, signal).catch((error) => { if (!signal.aborted) noteLog(error.message); });
}

function showLog(name, date) {
  chooseLog(name, date);
  $("log-section").scrollIntoView({ block: "nearest" });
  $("log").focus({ preventScroll: true });
}

function pauseLog(paused) {
  log.paused = paused;
  log.waiting = 0;
  $("log-pause").ariaPressed = String(paused);
  put($("log-pause"), paused ? "Go on" : "Pause");
}

function renderLogChoice() {
  const select = $("log-of");
  const wanted = ["", ...model.scripts.keys()];
  if (JSON.stringify(wanted) === JSON.stringify([...select.options].map((option) => option.value))) return;
  select.replaceChildren(select.options[0], ...wanted.slice(1).map((name) => h("option", { value: name }, name)));
  select.value = wanted.includes(log.of) ? log.of : "";
  if (select.value !== log.of) chooseLog("", null);
}

function bindLog() {
  $("log-of").addEventListener("change", () => chooseLog($("log-of").value, null));
  $("log-filter").addEventListener("input", renderLog);
  $("log-pause").addEventListener("click", () => {
    pauseLog(!log.paused);
    if (log.paused) { noteLog("paused"); return; }
    noteLog("");
    renderLog();
  });
}
