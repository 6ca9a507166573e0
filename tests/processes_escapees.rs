//! What leaves its process group, or outlives its leader, is found.

mod processes_support;

use mho::domain::outcome::{Exit, Signal};
use mho::ports::{AttemptId, Launcher};
use processes_support::{World, alive, eventually, marked};

#[tokio::test]
async fn a_descendant_in_a_session_of_its_own_gets_the_signal_with_the_group() {
    let mut world = World::new();
    let (id, _) = world.shell("setsid", "setsid sh -c 'echo $$ >inner; exec sleep 300' & wait");
    let inner = world.number("inner").await;
    world.launcher.signal(&id, Signal::TERM);
    let (_, leftovers) = world.exited().await;
    if !leftovers.is_empty() {
        assert_eq!(leftovers, [inner]);
        world.gone().await;
    }
    assert!(!alive(inner));
}

#[tokio::test]
async fn a_double_fork_is_found_by_its_environment_while_the_leader_lives() {
    let mut world = World::new();
    let text = "(setsid sh -c 'echo $$ >inner; exec sleep 300' &) ; exec sleep 300";
    let (id, leader) = world.shell("daemonizes", text);
    let inner = world.number("inner").await;
    eventually("the process in between is gone", || {
        mho::adapters::procfs::read(inner).expect("/proc").is_some_and(|found| found.parent == std::process::id())
    })
    .await;
    world.launcher.signal(&id, Signal::TERM);
    world.exited().await;
    assert!(!alive(leader));
    eventually("the escapee is gone", || !alive(inner)).await;
}

#[tokio::test]
async fn a_double_fork_that_cleared_its_environment_is_found_by_the_pipe_that_it_prints_to() {
    let mut world = World::new();
    let text = "(setsid env -i /bin/sh -c 'echo $$ >inner; exec sleep 300' &) ; exec sleep 300";
    let (id, _) = world.shell("bare", text);
    let inner = world.number("inner").await;
    world.launcher.signal(&id, Signal::TERM);
    world.exited().await;
    eventually("the escapee is gone", || !alive(inner)).await;
}

/// A leader that ends at the first signal, and a child of it that only this parent shows to be the script's: it has a session, an output and
/// an environment of its own. It ends with the test's directory at the latest. Returns the attempt, and the child.
async fn with_a_child_that_shows_nothing(world: &World, trap: &str) -> (AttemptId, u32) {
    let helper = format!("{trap} echo $$ >inner; while [ -e inner ]; do sleep 0.05; done");
    let text = format!("setsid env -i /bin/sh -c '{helper}' >helper.log 2>&1 & exec sleep 300");
    let (id, leader) = world.shell("helped", &text);
    let inner = world.number("inner").await;
    eventually("the leader is what it is to be", || mho::adapters::procfs::name(leader) == "sleep").await;
    assert_eq!(mho::adapters::procfs::read(inner).expect("/proc").map(|found| found.parent), Some(leader));
    (id, inner)
}

#[tokio::test]
async fn a_child_that_only_its_parent_shows_gets_the_signal_with_the_group() {
    // Which of the two ends first is a matter of chance.
    for _ in 0..10 {
        let mut world = World::new();
        let (id, inner) = with_a_child_that_shows_nothing(&world, "").await;
        world.launcher.signal(&id, Signal::TERM);
        let (_, leftovers) = world.exited().await;
        if !leftovers.is_empty() {
            world.gone().await;
        }
        assert!(!alive(inner));
    }
}

#[tokio::test]
async fn a_child_that_only_its_parent_showed_is_killed_with_the_rest() {
    for _ in 0..5 {
        let mut world = World::new();
        let (id, inner) = with_a_child_that_shows_nothing(&world, "trap \"\" TERM;").await;
        world.launcher.signal(&id, Signal::TERM);
        let (_, leftovers) = world.exited().await;
        assert!(leftovers.contains(&inner) && alive(inner), "it ignores the signal: {leftovers:?}");
        world.launcher.kill(&id);
        world.gone().await;
        assert!(!alive(inner));
    }
}

#[tokio::test]
async fn a_child_that_only_its_parent_shows_is_killed_without_a_signal_before() {
    for _ in 0..5 {
        let mut world = World::new();
        let (id, inner) = with_a_child_that_shows_nothing(&world, "trap \"\" TERM;").await;
        world.launcher.kill(&id);
        let (_, leftovers) = world.exited().await;
        // The killing may be over before the leader's end is noticed.
        if !leftovers.is_empty() {
            world.gone().await;
        }
        assert!(!alive(inner));
    }
}

#[tokio::test]
async fn a_child_that_only_its_parent_showed_is_found_after_the_crash_of_its_leader() {
    let mut world = World::new();
    let (id, inner) = with_a_child_that_shows_nothing(&world, "").await;
    let leader = mho::adapters::procfs::read(inner).expect("/proc").expect("it lives").parent;
    let leader = mho::adapters::procfs::raw_pid(leader).expect("a pid");
    rustix::process::kill_process(leader, rustix::process::Signal::KILL).expect("killed");
    let (_, leftovers) = world.exited().await;
    assert!(leftovers.contains(&inner), "{leftovers:?}");
    world.launcher.signal(&id, Signal::TERM);
    world.gone().await;
    assert!(!alive(inner));
}

#[tokio::test]
async fn a_double_fork_without_environment_and_output_is_its_scripts_and_not_its_neighbours() {
    let mut world = World::new();
    let text = "(setsid env -i /bin/sh -c 'echo $$ >inner; while [ -e inner ]; do sleep 0.05; done' >/dev/null 2>&1 &) ; \
                exec sleep 300";
    let (keeps, _) = world.shell("keeps", text);
    let inner = world.number("inner").await;
    world.shell("neighbour", "exit 1");
    assert_eq!(world.exited().await, (Exit::Code(1), vec![]));
    assert!(alive(inner));
    world.launcher.signal(&keeps, Signal::TERM);
    let (_, leftovers) = world.exited().await;
    if !leftovers.is_empty() {
        world.gone().await;
    }
    assert!(!alive(inner));
}

#[tokio::test]
async fn kill_goes_on_until_a_script_that_forks_all_the_time_is_gone() {
    let mut world = World::new();
    let text = "trap '' TERM; while :; do (setsid sh -c 'trap \"\" TERM; sleep 30; sleep 30' &) ; sleep 0.001; done";
    let (id, _) = world.shell("forks", text);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.launcher.kill(&id);
    let (_, leftovers) = world.exited().await;
    // The killing may be over before the leader's end is noticed.
    if !leftovers.is_empty() {
        world.gone().await;
    }
    assert_eq!(marked("MHO_DAEMON_ID", &world.daemon_id), []);
}

#[tokio::test]
async fn an_escapee_that_ignores_the_signal_is_killed_with_the_rest() {
    let mut world = World::new();
    let text = "(setsid sh -c 'trap \"\" TERM; echo $$ >inner; sleep 300; sleep 300' &) ; exec sleep 300";
    let (id, _) = world.shell("stubborn", text);
    let inner = world.number("inner").await;
    world.launcher.signal(&id, Signal::TERM);
    let (_, leftovers) = world.exited().await;
    assert!(leftovers.contains(&inner), "{leftovers:?}");
    world.launcher.kill(&id);
    world.gone().await;
    assert!(!alive(inner));
}

#[tokio::test]
async fn what_a_leader_leaves_in_its_group_is_reported_and_can_still_be_stopped() {
    let mut world = World::new();
    let (id, leader) = world.shell("leaves", "sleep 300 & echo $! >inner; exit 7");
    let (exit, leftovers) = world.exited().await;
    let inner = world.number("inner").await;
    assert_eq!((exit, leftovers), (Exit::Code(7), vec![inner]));
    assert!(alive(inner) && !alive(leader));
    world.launcher.signal(&id, Signal::TERM);
    world.gone().await;
    assert!(!alive(inner));
}

#[tokio::test]
async fn what_a_leader_leaves_is_waited_for_until_it_ends_by_itself() {
    let mut world = World::new();
    world.shell("lingers", "sh -c 'while [ ! -e go ]; do sleep 0.01; done' & exit 0");
    let (exit, leftovers) = world.exited().await;
    assert_eq!((exit, leftovers.is_empty()), (Exit::Code(0), false));
    assert!(world.events.try_recv().is_err(), "it is not gone yet");
    std::fs::write(world.path("go"), "").expect("written");
    world.gone().await;
}

#[tokio::test]
async fn the_orphans_of_one_script_are_not_taken_for_those_of_another() {
    let mut world = World::new();
    let (keeps, _) = world.shell("keeps", "(setsid sh -c 'echo $$ >inner; exec sleep 300' &) ; exec sleep 300");
    let inner = world.number("inner").await;
    for name in ["one", "two"] {
        world.shell(name, "exit 0");
        assert_eq!(world.exited().await, (Exit::Code(0), vec![]));
    }
    assert!(alive(inner));
    world.launcher.kill(&keeps);
    let (_, leftovers) = world.exited().await;
    if !leftovers.is_empty() {
        world.gone().await;
    }
    assert!(!alive(inner));
}

#[tokio::test]
async fn orphans_that_end_do_not_stay_zombies() {
    let mut world = World::new();
    let (id, _) = world.shell("sheds", "(setsid sh -c 'echo $$ >inner' &) ; exec sleep 300");
    let inner = world.number("inner").await;
    eventually("it is reaped", || mho::adapters::procfs::read(inner).expect("/proc").is_none()).await;
    world.launcher.kill(&id);
    world.exited().await;
}
