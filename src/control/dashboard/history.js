// What became of each script on each of the last trading days, and the sessions to come.

const DAYS = 30;
const past = { days: [], runs: new Map() };

function cellOf(name, date) {
  const run = past.runs.get(`${name} ${date}`);
  const script = model.scripts.get(name);
  // What is under way is told by the script itself.
  const is_live = script?.trading_date === date && (script.pid !== null || ["backoff", "waiting"].includes(script.state));
  const result = is_live ? "running" : run?.result;
  const [tone, sign, words] = is_live && script.pid === null ? [STATE_TONES[script.state], "…", script.state] : resultOf(result);
  const exit = run?.last_exit;
  const parts = [
    `${name}, ${dayName(date)}: ${words}`,
    run?.reason ?? "",
    run?.first_start ? `${when(ms(run.first_start))} to ${run.end ? when(ms(run.end)) : "now"}` : "",
    run?.attempts ? `${run.attempts} ${run.attempts === 1 ? "attempt" : "attempts"}` : "",
    exit ? `last exit ${exit.signal ?? (exit.code === null ? exit.result : `code ${exit.code}`)}` : "",
  ];
  return { tone: result || is_live ? tone : "none", sign, text: parts.filter(Boolean).join("; ") };
}

function dayHead(line, index) {
  const classes = [line.is_session ? "" : "closed", line.monday ? "monday" : ""].join(" ").trim();
  const number = String(Number(line.date.slice(8)));
  const title = `${dayName(line.date)}${line.is_session ? (line.early_close ? ", half day" : "") : ", closed"}${line.reason ? `: ${line.reason}` : ""}`;
  return h("th", { scope: "col", className: classes, title, ariaLabel: title }, line.is_session ? number : "");
}

/** The first days of each month, and how many days it has here. */
function months(days) {
  const list = [];
  for (const { date } of days) {
    const month = date.slice(0, 7);
    if (list.at(-1)?.month === month) list.at(-1).days += 1;
    else list.push({ month, days: 1 });
  }
  const name = (month) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", month: "short" }).format(new Date(`${month}-15T00:00:00Z`));
  return list.map(({ month, days: colSpan }) => h("th", { colSpan, className: "month", scope: "colgroup" }, colSpan > 2 ? name(month) : ""));
}

function renderHistory() {
  const { days } = past;
  if (days.length === 0) return;
  const table = $("history");
  const before = document.activeElement?.closest?.("#history") ? document.activeElement.dataset : null;
  const head = h("thead", {}, h("tr", {}, h("td"), ...months(days)), h("tr", {}, h("td"), ...days.map(dayHead)));
  const rows = [...model.scripts.keys()].map((name) => {
    const cells = days.map((line) => {
      const className = `${line.is_session ? "" : "closed"} ${line.monday ? "monday" : ""} ${line.early_close ? "half" : ""}`.trim();
      if (!line.is_session && !past.runs.has(`${name} ${line.date}`)) return h("td", { className, title: line.reason ?? "closed" });
      const { tone, sign, text } = cellOf(name, line.date);
      const tell = () => put($("history-detail"), text);
      const button = h("button", {
        type: "button", className: tone === "none" ? "none" : `t-${tone}`, title: text, ariaLabel: text, tabIndex: -1, data: { run: name, date: line.date },
        on: { mouseenter: tell, focus: tell, click: () => showLog(name, line.date) },
      }, sign);
      return h("td", { className: className.replace("closed", ""), role: "gridcell" }, button);
    });
    return h("tr", {}, h("th", { scope: "row", title: name }, name), ...cells);
  });
  table.replaceChildren(head, h("tbody", {}, ...rows));
  const buttons = [...table.querySelectorAll("button")];
  const again = before && buttons.find(({ dataset }) => dataset.run === before.run && dataset.date === before.date);
  const entry = again ?? buttons.filter(({ dataset }) => dataset.run === model.scripts.keys().next().value).at(-1);
  if (entry) entry.tabIndex = 0;
  if (again) again.focus({ preventScroll: true });
}

/** The table is one stop of the Tab key; arrows move inside it. */
function moveInHistory(event) {
  const here = event.target.closest("td");
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -999], End: [0, 999] }[event.key];
  if (!here || !step) return;
  event.preventDefault();
  const rows = [...$("history").tBodies[0].rows];
  const row = rows[clamp(rows.indexOf(here.parentElement) + step[0], 0, rows.length - 1)];
  const has = (cell) => cell.querySelector("button");
  const cells = [...row.cells].filter((cell) => has(cell));
  const place = step[0] ? cells.findIndex((cell) => cell.cellIndex >= here.cellIndex) : clamp(cells.indexOf(here) + step[1], 0, cells.length - 1);
  const target = has(cells[place < 0 ? cells.length - 1 : place]);
  for (const button of $("history").querySelectorAll('button[tabindex="0"]')) button.tabIndex = -1;
  target.tabIndex = 0;
  target.focus();
}

/** Trading days and the closed days between them, without week-ends; those that had a session count. */
function lastDays(lines) {
  let sessions = 0;
  const list = [];
  let friday = true;
  for (const line of lines.toReversed()) {
    if (sessions === DAYS) break;
    if (line.kind === "weekend") continue;
    sessions += line.is_session ? 1 : 0;
    list.push(line);
  }
  list.reverse();
  let week = "";
  return list.map((line) => {
    const weekday = new Date(`${line.date}T12:00:00Z`).getUTCDay();
    const monday_of = plusDays(line.date, -((weekday + 6) % 7));
    const monday = week !== "" && monday_of !== week;
    week = monday_of;
    return { ...line, monday };
  });
}

function renderSessions(lines) {
  const rows = [];
  let count = 0;
  for (const line of lines) {
    if (count === 10) break;
    if (line.kind === "weekend") continue;
    if (line.is_session && ms(line.close) <= clock.now()) continue;
    count += line.is_session ? 1 : 0;
    const special = [line.early_close ? "half day" : "", line.kind === "special" ? "special session" : "", line.basis === "override" ? "override" : "", line.reason ?? ""];
    const words = special.filter(Boolean).filter((word, index, all) => all.indexOf(word) === index).join(" · ");
    const time = (at) => local(ms(at), { hour: "2-digit", minute: "2-digit" });
    rows.push(h("tr", { className: line.is_session ? "" : "closed", data: { date: line.date } },
      h("th", { scope: "row" }, dayName(line.date)),
      h("td", {}, line.is_session ? `${time(line.open)}–${time(line.close)}` : "closed"),
      h("td", { className: line.is_session && words ? "special" : "" }, words)));
  }
  $("sessions").tBodies[0].replaceChildren(...rows);
}

async function loadHistory() {
  const today = dateOf(clock.now());
  try {
    const [lines, runs, coming] = await Promise.all([
      ask(`/calendar?from=${plusDays(today, -65)}&to=${today}`),
      ask(`/history?from=${plusDays(today, -65)}`),
      ask(`/calendar?from=${today}&to=${plusDays(today, 30)}`),
    ]);
    past.days = lastDays(lines);
    past.runs = new Map(runs.map((run) => [`${run.script} ${run.trading_date}`, run]));
    const is_first = $("history").rows.length === 0;
    renderHistory();
    // The newest are at the right end.
    if (is_first) $("history").parentElement.scrollLeft = 1e6;
    renderSessions(coming);
  } catch (error) {
    if (model.connected) put($("history-detail"), `The last days cannot be shown: ${error.message}`);
  }
}
