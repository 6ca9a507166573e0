//! What a scrape reads off the status, written sample by sample: nothing is gathered first.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counts::Counts;
use crate::domain::calendar::Phase;
use crate::domain::lifecycle::StateName;
use crate::domain::status::{NextLine, Script, Status};
use crate::domain::timeline::BoundaryKind;

const PHASES: [Phase; 5] = [Phase::Closed, Phase::Pre, Phase::Open, Phase::Break, Phase::Post];

const STATES: [StateName; 12] = [
    StateName::Idle,
    StateName::Waiting,
    StateName::Starting,
    StateName::Running,
    StateName::Stopping,
    StateName::Backoff,
    StateName::Finished,
    StateName::Stopped,
    StateName::Failed,
    StateName::Skipped,
    StateName::Paused,
    StateName::Disabled,
];

const BOUNDARIES: [BoundaryKind; 5] =
    [BoundaryKind::Open, BoundaryKind::Close, BoundaryKind::Start, BoundaryKind::Stop, BoundaryKind::Deadline];

/// What the status does not tell.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Today, by the default calendar, has a session; also after that has ended, when the status shows no trading date any more.
    pub trading_day: bool,
    /// Somebody keeps the machine's clock right; None where that cannot be told.
    pub clock_synchronized: Option<bool>,
    /// The calendars in use by their ids, and the last date that each one's exchange has published.
    pub published_to: BTreeMap<String, NaiveDate>,
    /// The next boundaries, soonest first. Of each kind the first is shown: there should be one of each, where one is to come.
    pub next: Vec<NextLine>,
}

/// All that there is to see at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) status: Status,
    pub(super) machine: Machine,
    /// In the order of the status' scripts.
    pub(super) counts: Vec<Counts>,
}

/// The labels of a metric that has none.
const NONE: [(&str, &str); 0] = [];

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.write_daemon(&mut page)?;
        self.write_market(&mut page)?;
        self.write_states(&mut page)?;
        self.write_processes(&mut page)?;
        self.write_counts(&mut page)
    }
}

impl Scrape {
    fn write_daemon(&self, page: &mut Page) -> fmt::Result {
        let version = [("version", &*self.status.version)];
        page.write("build_info", "Always 1; which version this is.", [(version, ConstGauge::new(1_u32))])?;
        page.write(
            "journal_ok",
            "Whether what happens is recorded; 0 = a restart would forget it.",
            [(NONE, flag(self.status.journal_ok))],
        )?;
        page.write(
            "clock_synchronized",
            "Whether somebody keeps the machine's clock right; absent where that cannot be told.",
            self.machine.clock_synchronized.map(|is_so| (NONE, flag(is_so))),
        )
    }

    fn write_market(&self, page: &mut Page) -> fmt::Result {
        page.write(
            "trading_day",
            "Whether today has a session by the default calendar, all day long.",
            [(NONE, flag(self.machine.trading_day))],
        )?;
        page.write(
            "market_phase",
            "1 for the present phase of the default calendar, 0 for the others.",
            PHASES.map(|phase| ([("phase", phase.name())], flag(phase.name() == self.status.market.phase))),
        )?;
        page.write(
            "next_boundary_timestamp_seconds",
            "When the market or a script next crosses a boundary of this kind; absent where none is known.",
            BOUNDARIES.into_iter().filter_map(|kind| {
                let line = self.machine.next.iter().find(|line| line.boundary == kind.name())?;
                Some(([("boundary", kind.name())], timestamp(line.at.utc())))
            }),
        )?;
        page.write(
            "calendar_published_to_timestamp_seconds",
            "Start, in UTC, of the last date that the exchange has published; later ones are projected.",
            self.machine.published_to.iter().map(|(calendar, date)| {
                ([("calendar", &**calendar)], timestamp(date.and_time(NaiveTime::MIN).and_utc()))
            }),
        )
    }

    fn write_states(&self, page: &mut Page) -> fmt::Result {
        page.write(
            "script_state",
            "1 for the present state of the script, 0 for the others.",
            self.status.scripts.iter().flat_map(|script| {
                STATES.map(|state| {
                    ([("script", &*script.name), ("state", state.name())], flag(state.name() == script.state))
                })
            }),
        )?;
        page.write(
            "script_up",
            "Whether the script has a live process.",
            self.each(|script| Some(flag(script.pid.is_some()))),
        )?;
        page.write(
            "script_expected",
            "Whether the script should be running: its window is open, and nobody and nothing holds it.",
            self.each(|script| Some(flag(script.expected))),
        )
    }

    fn write_processes(&self, page: &mut Page) -> fmt::Result {
        page.write(
            "script_resident_memory_bytes",
            "Resident memory of the script's whole process group and of descendants that have left it; absent without a process.",
            self.each(|script| script.gauges.memory_bytes.map(ConstGauge::new)),
        )?;
        page.write(
            "script_cpu_seconds",
            "Processor time of the same; begins anew with each process, and is absent without one.",
            self.each(|script| script.gauges.cpu_seconds.map(ConstCounter::new)),
        )?;
        page.write(
            "script_last_output_timestamp_seconds",
            "When the script last printed something.",
            self.each(|script| script.gauges.last_output_at.map(|at| timestamp(at.utc()))),
        )
    }

    fn write_counts(&self, page: &mut Page) -> fmt::Result {
        page.write(
            "script_starts",
            "Processes started since the daemon did.",
            self.each_count(|counts| Some(ConstCounter::new(counts.starts))),
        )?;
        page.write(
            "script_restarts",
            "Automatic restarts that were tried since the daemon started; those by hand, by a reload or by the daemon are none.",
            self.each_count(|counts| Some(ConstCounter::new(counts.restarts))),
        )?;
        page.write(
            "script_exits",
            "Attempts that ended since the daemon started, by result.",
            self.counted().flat_map(|(script, counts)| {
                counts.exits.iter().map(move |(result, count)| {
                    ([("script", script), ("result", result.name())], ConstCounter::new(*count))
                })
            }),
        )?;
        page.write(
            "script_last_exit_code",
            "Exit code of the latest process that ended; -N = signal N ended it.",
            self.each_count(|counts| counts.last_exit_code.map(ConstGauge::new)),
        )?;
        page.write(
            "script_last_success_timestamp_seconds",
            "When a run last ended well: succeeded, finished early, or ran up to the end of its window.",
            self.each_count(|counts| counts.last_success.map(timestamp)),
        )
    }

    /// One sample of each script, where there is a value.
    fn each<M>(&self, value: impl Fn(&Script) -> Option<M>) -> impl Iterator<Item = ([(&str, &str); 1], M)> {
        let scripts = self.status.scripts.iter();
        scripts.filter_map(move |script| Some((of_script(&script.name), value(script)?)))
    }

    /// The same, of what was counted.
    fn each_count<M>(&self, value: impl Fn(&Counts) -> Option<M>) -> impl Iterator<Item = ([(&str, &str); 1], M)> {
        self.counted().filter_map(move |(script, counts)| Some((of_script(script), value(counts)?)))
    }

    fn counted(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.status.scripts.iter().map(|script| &*script.name).zip(&self.counts)
    }
}

/// Where the samples go.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A metric with all of its samples, each with its labels; nothing at all where there are none.
    fn write<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        let Some((_, first)) = samples.peek() else { return Ok(()) };
        let mut metric = self.0.encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, value) in samples {
            value.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn of_script(name: &str) -> [(&str, &str); 1] {
    [("script", name)]
}

fn flag(is_so: bool) -> ConstGauge<u32> {
    ConstGauge::new(u32::from(is_so))
}

/// Prometheus counts time in seconds, with a fraction.
fn timestamp(at: DateTime<Utc>) -> ConstGauge<f64> {
    ConstGauge::new(at.timestamp() as f64 + f64::from(at.timestamp_subsec_millis()) / 1000.0)
}
