//! What forks, executes or dies at the very moment of a look is neither missed nor forgotten.

mod processes_support;

use std::time::Duration;

use mho::domain::outcome::Exit;
use mho::ports::{Launcher, ProcessEvent};
use processes_support::{World, alive, eventually, marked, read};

/// A new process every 20 ms, each in a session of its own and with a dead parent; ends by itself only after a while.
const CHAIN: &str = "
import os, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    for n in range(900):
        with open(sys.argv[1], 'w') as f: f.write(f'{n}\\n')
        time.sleep(0.02)
        if os.fork() != 0: os._exit(0)
        os.setsid()
    os._exit(0)
while True: time.sleep(100)
";

#[tokio::test]
async fn a_chain_of_forks_does_not_outlive_the_word_that_it_is_gone() {
    let mut world = World::new();
    std::fs::write(world.path("chain.py"), CHAIN).expect("written");
    let ids: Vec<_> =
        (0..6).map(|n| world.shell(&format!("chain{n}"), &format!("exec python3 chain.py beat{n}")).0).collect();
    for n in 0..6 {
        let path = world.path(&format!("beat{n}"));
        eventually("it forks", || String::from_utf8_lossy(&read(&path)).trim().parse().is_ok_and(|n: u32| n > 5)).await;
    }
    for id in &ids {
        world.launcher.kill(id);
    }
    let mut over = 0;
    while over < ids.len() {
        over += match world.event().await {
            ProcessEvent::Exited { leftovers, .. } => usize::from(leftovers.is_empty()),
            ProcessEvent::Gone { .. } => 1,
            other => panic!("{other:?}"),
        };
    }
    let beats = || (0..6).map(|n| read(&world.path(&format!("beat{n}")))).collect::<Vec<_>>();
    let before = beats();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(before, beats(), "none forks on");
    assert_eq!(marked("MHO_DAEMON_ID", &world.daemon_id), []);
}

#[tokio::test]
async fn an_orphan_whose_environment_cannot_be_read_at_once_is_looked_at_again() {
    let mut world = World::new();
    // Shows no environment for a while, as everything does during an exec, and then the one that it was given.
    let text = "export D=$MHO_DAEMON_ID R=$MHO_RUN_ID; \
        (setsid env -i D=$D R=$R P=$PATH sh -c 'exec env -i \"$0\" -c \"$1\" \"$D\" \"$R\"' sh \
        'echo $$ >bare; while [ ! -e go ]; do :; done; \
         exec /usr/bin/env MHO_DAEMON_ID=$0 MHO_RUN_ID=$1 /bin/sh -c \"echo >marked; exec sleep 300\"' \
        >/dev/null 2>&1 </dev/null &) ; exec sleep 300";
    let text = text.replace("\"$0\" -c", "/bin/sh -c");
    let (keeps, _) = world.shell("keeps", &text);
    let orphan = world.number("bare").await;
    // Now it is looked at.
    world.shell("other", "exit 0");
    assert_eq!(world.exited().await, (Exit::Code(0), vec![]));
    std::fs::write(world.path("go"), "").expect("written");
    eventually("it has its marks", || world.path("marked").exists()).await;
    world.launcher.kill(&keeps);
    let (_, leftovers) = world.exited().await;
    if !leftovers.is_empty() {
        assert_eq!(leftovers, [orphan]);
        world.gone().await;
    }
    assert!(!alive(orphan));
}

#[tokio::test]
async fn what_escapes_at_the_moment_of_its_leaders_end_is_found() {
    let mut world = World::new();
    for round in 0..60 {
        // As with a daemon, no attempt has the name of an earlier one.
        let start = |n| world.shell(&format!("e{round}-{n}"), "(setsid sleep 300 >/dev/null 2>&1 &) ; exit 1").0;
        let ids: Vec<_> = (0..4).map(start).collect();
        let mut over = 0;
        while over < ids.len() {
            match world.event().await {
                ProcessEvent::Exited { attempt, leftovers, .. } if !leftovers.is_empty() => {
                    world.launcher.kill(&attempt);
                }
                ProcessEvent::Exited { .. } | ProcessEvent::Gone { .. } => over += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(marked("MHO_DAEMON_ID", &world.daemon_id), []);
    }
}

#[tokio::test]
async fn one_that_nobody_can_be_told_to_own_is_nobodys_after_a_moment_and_holds_up_no_later_end() {
    let mut world = World::new();
    world.shell(
        "leaves",
        "(setsid prlimit --rttime=unlimited env -i sh -c 'echo $$ >inner; exec sleep 60' >/dev/null 2>&1 </dev/null &) ; exec sleep 300",
    );
    let inner = world.number("inner").await;
    world.shell("first", "exit 0");
    assert_eq!(world.exited().await, (Exit::Code(0), vec![]));
    let start = std::time::Instant::now();
    for n in 0..10 {
        world.shell(&format!("later{n}"), "exit 0");
        assert_eq!(world.exited().await, (Exit::Code(0), vec![]));
    }
    let took = start.elapsed();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(inner.cast_signed()), nix::sys::signal::Signal::SIGKILL);
    assert!(took < Duration::from_millis(800), "{took:?}");
}
