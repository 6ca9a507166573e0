// The day on one page: bands of the session, a lane for each script with its planned window, its attempts and its waits, and the present.

const day = { date: null, data: null, drawn: 0 };

/** From the first to the last thing of the day, in whole hours. Scripts of another calendar do not stretch it, unless there is nothing else. */
function reach(data) {
  const starts = [data.premarket, data.open].map(ms);
  const ends = [data.close, data.postmarket].map(ms);
  if (data.date === dateOf(clock.now())) { starts.push(clock.now()); ends.push(clock.now()); }
  const own = data.lanes.filter((lane) => (model.scripts.get(lane.script)?.calendar ?? data.calendar) === data.calendar);
  for (const lane of data.open ? own : data.lanes) {
    if (lane.window) { starts.push(ms(lane.window.start)); ends.push(ms(lane.window.stop)); }
    for (const attempt of lane.attempts) {
      starts.push(ms(attempt.started_at));
      ends.push(attempt.end ? ms(attempt.end.at) : clock.now());
    }
  }
  const known = (list) => list.filter((at) => at !== null);
  const hour = 3600000;
  if (known(starts).length === 0) {
    const noon = Date.parse(`${data.date}T12:00:00Z`);
    const midnight = noon - 12 * hour;
    const offset = noon - Date.parse(`${data.date}T${local(noon, { hour: "2-digit", minute: "2-digit" })}:00Z`);
    return [midnight + offset, midnight + offset + 24 * hour];
  }
  return [Math.floor(Math.min(...known(starts)) / hour) * hour, Math.ceil(Math.max(...known(ends)) / hour) * hour];
}

/** Of the lane, by what the script itself tells: the journal is a moment behind. */
function freshen(lane, script) {
  if (!script || script.trading_date !== day.data.date || script.attempt === 0) return;
  let attempt = lane.attempts.find((known) => known.attempt === script.attempt);
  if (!attempt && script.started_at) {
    attempt = { attempt: script.attempt, started_at: script.started_at, restarted_after: script.attempt > 1 ? "crash" : null, pid: script.pid, end: null };
    lane.attempts.push(attempt);
  }
  if (attempt && script.pid === null && attempt.end === null && script.last_exit) attempt.end = script.last_exit;
}

const ended = (attempt) => (attempt.end ? ms(attempt.end.at) : clock.now());

/** The gaps in which a run waited: for another script, or for its next attempt. */
function waits(lane, script) {
  const list = [];
  let from = lane.window ? ms(lane.window.start) : null;
  for (const attempt of lane.attempts) {
    const start = ms(attempt.started_at);
    if (from !== null && start !== null && start - from > 1000) list.push([from, start, attempt.attempt === 1 ? "waited to start" : "waited for its next attempt"]);
    from = ended(attempt);
  }
  const is_waiting = day.data.date === script?.trading_date && ["waiting", "backoff"].includes(script.state);
  // From the end of the last attempt, or from the start of the window.
  if (is_waiting && from !== null && from < clock.now()) list.push([from, clock.now(), script.reason]);
  return list;
}

function describe(lane, attempt) {
  const [, , words] = resultOf(attempt.end ? attempt.end.result : "running");
  const how = attempt.end ? ` (${attempt.end.signal ?? (attempt.end.code === null ? "no exit code" : `code ${attempt.end.code}`)})` : "";
  const from = ms(attempt.started_at);
  const length = from === null ? "" : `, ${span(ended(attempt) - from)}`;
  const again = attempt.restarted_after ? `, restarted after ${attempt.restarted_after}` : "";
  return `${lane.script}, attempt ${attempt.attempt}${again}: ${when(from)} to ${attempt.end ? when(ms(attempt.end.at)) : "now"}${length}; ${words}${how}`;
}

function lanePicture(lane, at) {
  const script = model.scripts.get(lane.script);
  freshen(lane, script);
  const track = h("div", { className: "track" });
  const place = (element, from, to) => {
    element.style.left = `${at(from)}%`;
    element.style.width = `${Math.max(0, at(to) - at(from))}%`;
    track.append(element);
  };
  const detail = (text) => ({ mouseenter: () => put($("timeline-detail"), text), focus: () => put($("timeline-detail"), text) });
  let summary = lane.no_window ? `not planned: ${lane.no_window}` : "";
  if (lane.window) {
    summary = `planned ${when(ms(lane.window.start))} to ${when(ms(lane.window.stop))}${lane.window.early_close ? ", half day" : ""}`;
    place(h("i", { className: "plan", title: summary }), ms(lane.window.start), ms(lane.window.stop));
  }
  for (const [from, to, why] of waits(lane, script)) place(h("i", { className: "wait", title: `${lane.script} ${why}, ${span(to - from)}` }), from, to);
  for (const attempt of lane.attempts.filter((known) => known.started_at)) {
    const [tone] = resultOf(attempt.end ? attempt.end.result : "running");
    const text = describe(lane, attempt);
    const className = `try t-${tone}${attempt.restarted_after ? " restart" : ""}${attempt.end ? "" : " live"}`;
    const open = () => showLog(lane.script, day.data.date);
    place(h("button", { type: "button", className, title: text, ariaLabel: text, on: { ...detail(text), click: open } }), ms(attempt.started_at), ended(attempt));
  }
  const is_quiet = lane.attempts.length === 0;
  const what = lane.result ? resultOf(lane.result)[2] + (lane.reason ? `: ${lane.reason}` : "") : "";
  const is_now = script?.trading_date === day.data.date && script.state !== "idle";
  const words_now = is_now ? `${script.state}: ${script.reason}` : what || lane.no_window;
  if (is_quiet && words_now) track.append(h("span", { className: "words" }, words_now));
  const words = `${lane.script}: ${summary}${what ? `; ${what}` : ""}; ${lane.attempts.length} attempts`;
  const name = h("span", { className: "name", title: words }, lane.script);
  return h("div", { className: "lane", role: "group", ariaLabel: words, data: { lane: lane.script } }, name, track);
}

function bands(data, at) {
  const list = [["pre", data.premarket, data.open, "pre"], ["regular", data.open, data.close, data.kind === "early_close" ? "regular, half day" : "regular"], ["post", data.close, data.postmarket, "post"]];
  if (data.pause) list.push(["pause", data.pause.from, data.pause.to, "break"]);
  return list.filter(([, from, to]) => from && to && from !== to).map(([kind, from, to, label]) => ({ kind, label, left: at(ms(from)), width: at(ms(to)) - at(ms(from)) }));
}

function renderTimeline() {
  const { data } = day;
  if (!data) return;
  const [from, to] = reach(data);
  const at = (instant) => clamp(((instant - from) / (to - from)) * 100, 0, 100);
  const axis = h("div", { className: "axis", ariaHidden: "true" });
  const back = h("div", { className: "back", ariaHidden: "true" });
  for (const { kind, label, left, width } of bands(data, at)) {
    const band = h("i", { className: kind });
    const words = h("b", {}, label);
    for (const element of [band, words]) Object.assign(element.style, { left: `${left}%`, width: `${width}%` });
    back.append(band);
    axis.append(words);
  }
  const hour = 3600000;
  const most = clamp(Math.floor(($("timeline").clientWidth - 90) / 60), 3, 13);
  const step = [1, 2, 3, 4, 6, 12, 24].find((hours) => (to - from) / hour / hours <= most) ?? 48;
  for (let tick = from; tick <= to; tick += step * hour) {
    const line = h("i", { className: "tick" });
    line.style.left = `${at(tick)}%`;
    back.append(line);
    const text = h("span", { className: tick === from ? "first" : tick === to ? "last" : "" }, local(tick, { hour: "2-digit", minute: "2-digit" }));
    text.style.left = line.style.left;
    axis.append(text);
  }
  const now = clock.now();
  day.drawn = now;
  if (from <= now && now <= to) {
    const line = h("i", { className: "now" });
    const text = h("span", { className: at(now) > 94 ? "now last" : "now" }, local(now, { hour: "2-digit", minute: "2-digit" }));
    line.style.left = text.style.left = `${at(now)}%`;
    back.append(line);
    axis.append(text);
  }
  // Whoever is there with the keyboard stays there.
  const focused = document.activeElement;
  const lane = focused?.closest?.("[data-lane]")?.dataset.lane;
  const place = lane === undefined ? -1 : [...focused.parentElement.querySelectorAll(".try")].indexOf(focused);
  const lanes = h("div", { className: "lanes" }, back, ...data.lanes.map((known) => lanePicture(known, at)));
  if (data.lanes.length === 0) lanes.append(h("p", { className: "muted" }, "no scripts are configured"));
  $("timeline").replaceChildren(axis, lanes);
  if (place >= 0) $("timeline").querySelector(`[data-lane="${CSS.escape(lane)}"]`)?.querySelectorAll(".try")[place]?.focus({ preventScroll: true });
  const kind = { regular: "", early_close: "half day", special: "special session", holiday: "holiday", weekend: "weekend" }[data.kind] ?? data.kind;
  put($("timeline-title"), data.date === dateOf(now) ? "Today" : dayName(data.date));
  put($("day-kind"), [data.date === dateOf(now) ? dayName(data.date) : "", kind, data.reason === kind ? "" : data.reason].filter(Boolean).join(" · "));
  if (document.activeElement !== $("day")) $("day").value = data.date;
}

async function loadDay() {
  const wanted = day.date;
  try {
    const data = await ask(`/timeline${wanted ? `?date=${wanted}` : ""}`);
    if (wanted !== day.date) return;
    day.data = data;
    renderTimeline();
  } catch (error) {
    if (model.connected) put($("timeline-detail"), `The day cannot be shown: ${error.message}`);
  }
}

function bindTimeline() {
  const go = (date) => { day.date = date === dateOf(clock.now()) ? null : date; loadDay(); };
  const shift = (days) => go(plusDays(day.date ?? dateOf(clock.now()), days));
  $("day-before").addEventListener("click", () => shift(-1));
  $("day-after").addEventListener("click", () => shift(1));
  $("day-today").addEventListener("click", () => go(dateOf(clock.now())));
  $("day").addEventListener("change", () => { if ($("day").value) go($("day").value); });
}
