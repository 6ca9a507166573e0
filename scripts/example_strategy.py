#!/usr/bin/env python3
"""Example strategy: what a script of the Market Hours Orchestrator looks like. It trades nothing; replace `trade_once`.

It shows what a good script does:
  - it is told about its run by MHO_* variables, and works without them when it is started by hand;
  - it waits for the open instead of giving up: it is started an hour before;
  - on SIGTERM it closes its positions and exits 0, well inside the grace (10 s unless configured);
  - it exits 42 when its work for the day is done before the close: it is not started again on that date;
  - in a rehearsal (MHO_REHEARSAL=1) it sends no orders.

Standard library only, Python 3.8 or later.
"""

import argparse
import os
import signal
import sys
import time
from datetime import datetime, timezone

DONE_FOR_TODAY = 42
# A stop is noticed after at most this many seconds.
TICK = 0.2

stop_signal = None
done_at = float("inf")


def on_signal(number, _frame):
    """Remember the signal and nothing else: printing is not safe inside a signal handler."""
    global stop_signal
    stop_signal = number


def say(text):
    print(text, flush=True)


def going_on():
    """Neither told to stop, nor done for today."""
    return stop_signal is None and time.monotonic() < done_at


def pause(seconds):
    """Sleep, but no longer than the script goes on."""
    end = time.monotonic() + seconds
    while going_on() and time.monotonic() < end:
        time.sleep(TICK)


def instant(name):
    """A variable such as MHO_SESSION_OPEN as a datetime in UTC; None if it is not set or holds no instant."""
    text = os.environ.get(name, "")
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        say(f"{name}={text} is not an instant like 2026-11-27T14:30:00Z: ignored")
        return None


def introduce():
    told = sorted(name for name in os.environ if name.startswith("MHO_"))
    if not told:
        say("Started by hand: no MHO_* variables, so no session is known and nothing is waited for.")
    for name in told:
        say(f"{name}={os.environ[name]}")


def wait_for(open_at):
    def left():
        return (open_at - datetime.now(timezone.utc)).total_seconds()

    if left() > 0:
        say(f"Waiting for the open at {open_at:%Y-%m-%dT%H:%M:%SZ}, in {left() / 60:.0f} min")
    # Short waits and a fresh look at the clock: somebody may set it, and the machine may sleep.
    while left() > 0 and going_on():
        pause(1.0)


def trade_once(cycle, positions, rehearsal):
    """One look at the market. Yours goes here; this one buys a pretend share every third time."""
    if rehearsal:
        say(f"Cycle {cycle}: rehearsal, no orders are sent")
        return
    if cycle % 3 == 1:
        positions.append(f"DEMO-{cycle}")
        say(f"Cycle {cycle}: bought {positions[-1]} (pretend)")
    else:
        say(f"Cycle {cycle}: nothing to do, {len(positions)} open positions")


def close(positions):
    while positions:
        say(f"Closed {positions.pop()} (pretend)")
    say("All positions are closed")


def arguments():
    default = os.environ.get("EXIT_EARLY_AFTER") or None
    parser = argparse.ArgumentParser(description="An example strategy that trades nothing.")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="between two looks (default: 5)")
    parser.add_argument(
        "--exit-early-after",
        type=float,
        default=default,
        metavar="SECONDS",
        help="be done for today this long after the start: exit 42 (also by the variable EXIT_EARLY_AFTER)",
    )
    return parser.parse_args()


def main():
    global done_at
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    args = arguments()
    if args.exit_early_after is not None:
        done_at = time.monotonic() + args.exit_early_after
    introduce()

    rehearsal = os.environ.get("MHO_REHEARSAL") == "1"
    if rehearsal:
        # The market clock of a rehearsal is not this machine's clock: there is no open to wait for.
        say("REHEARSAL: this script sends no orders")
    else:
        open_at = instant("MHO_SESSION_OPEN")
        if open_at is not None:
            wait_for(open_at)

    cycle, positions = 0, []
    while going_on():
        cycle += 1
        trade_once(cycle, positions, rehearsal)
        pause(args.interval)

    if stop_signal is not None:
        say(f"Told to stop by {signal.Signals(stop_signal).name}")
    close(positions)
    if stop_signal is not None:
        return 0
    say(f"Done for today: exit {DONE_FOR_TODAY}")
    return DONE_FOR_TODAY


if __name__ == "__main__":
    sys.exit(main())
