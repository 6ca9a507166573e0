// What is known, kept up to date by the stream of events; everything else shows it.

const model = {
  connected: false, seen: "–", rehearsal: false, verdict: { level: "unknown", text: "" }, journal_ok: true, killed_by: null,
  market: { calendar: "", phase: "", reason: "", next: null }, scripts: new Map(),
};

// Runs are asked for when something has happened, not before; the journal is a moment behind.
const refreshPast = soon(1500, () => { loadDay(); loadHistory(); });
const redraw = soon(200, () => { renderTimeline(); renderHistory(); });
let today = null;

function takeStatus(status) {
  clock.start(status);
  Object.assign(model, {
    connected: true, rehearsal: status.rehearsal, verdict: status.verdict, journal_ok: status.journal_ok, killed_by: status.killed_by,
    market: status.market, scripts: new Map(status.scripts.map((script) => [script.name, script])),
  });
  today = dateOf(clock.now());
  $("rehearsal").hidden = !status.rehearsal;
  put($("rehearsal"), `REHEARSAL${status.speed === 1 ? "" : ` ×${status.speed}`}`);
  put($("daemon"), `mho ${status.version} · PID ${status.pid} · running since ${when(ms(status.started_at))} · all times in ${status.market.timezone}`);
  renderScripts();
  renderLogChoice();
  showBanner();
  tick();
  loadDay();
  loadHistory();
}

/** A state that came by itself does not say what its process uses: the last that was heard holds. */
function takeState(script) {
  const before = model.scripts.get(script.name);
  const used = ["memory_bytes", "cpu_seconds", "last_output_at"];
  if (before && before.pid === script.pid) for (const key of used) script[key] ??= before[key];
  model.scripts.set(script.name, script);
  if (!before) renderScripts();
  renderScript(script.name);
  renderFilters();
  renderLogChoice();
  redraw();
  refreshPast();
}

const EVENTS = {
  status: takeStatus,
  state: takeState,
  gone: ({ name }) => { model.scripts.delete(name); renderScripts(); renderLogChoice(); refreshPast(); },
  market: (market) => { model.market = market; tickHead(); },
  boundary: () => refreshPast(),
  verdict: (news) => { Object.assign(model, news); showVerdict(); showBanner(); },
  notice: takeNotice,
  gauges: ({ now, scripts }) => { clock.set(now); takeGauges(scripts); },
};

function tell(state, why) {
  const was = model.connected;
  model.connected = state === "live";
  if (was && !model.connected) model.seen = local(clock.now(), { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  showConnection(state, why);
  showVerdict();
  if (was !== model.connected) renderScripts();
}

/** Each second, on the second. */
function tick() {
  if (!model.connected) return;
  model.seen = local(clock.now(), { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  tickHead();
  showVerdict();
  for (const name of model.scripts.keys()) tickScript(name);
  if (Math.abs(clock.now() - day.drawn) >= 15000) renderTimeline();
  if (today !== dateOf(clock.now())) {
    today = dateOf(clock.now());
    refreshPast();
  }
}

bindAll();
bindTimeline();
bindLog();
$("history").addEventListener("keydown", moveInHistory);
setInterval(tick, 1000);
addEventListener("resize", soon(200, renderTimeline));
follow((kind, data) => EVENTS[kind]?.(data), tell);
