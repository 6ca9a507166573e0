//! A script that is switched off for some days and on again. By the built binary.

mod common;

use common::World;

fn config(more: &str) -> String {
    format!(
        "[[script]]\nname = \"always-on\"\ncommand = \"sleep 300\"\n[[script]]\nname = \"demo\"\ncommand = \"sleep 300\"\n{more}\n"
    )
}

#[test]
fn a_script_that_was_disabled_has_missed_nothing_when_it_is_enabled_again() {
    let mut daemon = World::new(&config("enabled = false")).rehearse("2026-11-30T12:00:00");
    daemon.wait_for(&["Script started with PID", "script=always-on"]);
    daemon.stop();
    daemon.write("mho.toml", &config(""));
    daemon.again(&["--at", "2026-12-02T12:00:00"]);
    daemon.wait_for(&["While nobody watched", "2026-12-01 was missed", "script=always-on"]);
    daemon.wait_for(&["Script started with PID", "script=demo", "trading_date=2026-12-02"]);
    daemon.stop();
    let history = daemon.cli(&["history", "demo", "--json", "--config", "mho.toml", "--state-dir", "state"]).lines();
    let dates: Vec<_> = history.iter().map(|run| run["trading_date"].as_str()).collect();
    assert_eq!(dates, [Some("2026-12-02")]);
    assert_eq!(daemon.count(&["While nobody watched", "script=demo"]), 0);
}
