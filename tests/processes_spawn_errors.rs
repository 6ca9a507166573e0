//! Each way in which a start can fail has a text of its own that says what to do.

mod processes_support;

use std::os::unix::fs::PermissionsExt;

use mho::domain::script::{EnvFile, Launch};
use processes_support::World;

fn file(world: &World, name: &str, text: &str, mode: u32) -> String {
    let path = world.path(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    path.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn each_failed_start_says_what_is_wrong_and_what_to_do() {
    let world = World::new();
    let plain = |program: &str| world.launch(program, &[]);
    let here = world.path("");
    let here = here.to_str().expect("text");
    let cases: Vec<(Launch, &str)> = vec![
        (plain(&format!("{here}none")), "does not exist: put it back, or correct `command`"),
        (plain(here), "is not a file"),
        (plain(&file(&world, "rights.sh", "#!/bin/sh\n", 0o644)), "is not executable: `chmod +x"),
        (
            plain(&file(&world, "bad.sh", "#!/no/such/interpreter -x\n", 0o755)),
            "asks for the interpreter /no/such/interpreter",
        ),
        (plain(&file(&world, "dos.sh", "#!/bin/sh\r\n", 0o755)), "Windows line endings"),
        (plain(&file(&world, "text.sh", "echo hello\n", 0o755)), "has no #! line"),
        (Launch { working_dir: world.path("nowhere"), ..plain("/bin/true") }, "working_dir"),
        (
            Launch { env_file: Some(EnvFile { path: world.path("no.env"), optional: false }), ..plain("/bin/true") },
            "env_file",
        ),
    ];
    for (launch, expected) in cases {
        let program = launch.program.clone();
        let error = world.start(world.order("fails", launch)).expect_err("no process").0;
        assert!(error.contains(expected), "{}: {error}", program.display());
    }
}
