//! How a process ended is told as the kernel tells it.

mod processes_support;

use mho::domain::outcome::Exit;
use processes_support::{World, signal};

#[tokio::test]
async fn killed_by_a_signal_is_not_the_exit_code_that_shells_make_of_it() {
    let mut world = World::new();
    for (text, expected) in [
        ("exit 0", Exit::Code(0)),
        ("exit 42", Exit::Code(42)),
        ("exit 139", Exit::Code(139)),
        ("kill -SEGV $$", Exit::Signal { signal: signal("SEGV"), out_of_memory: false }),
        ("kill -KILL $$", Exit::Signal { signal: signal("KILL"), out_of_memory: false }),
    ] {
        world.shell("ends", text);
        assert_eq!(world.exited().await, (expected, vec![]), "{text}");
    }
}
