//! `mho completions`: what a shell offers, asked of a real one.

mod common;

use std::path::Path;
use std::process::Command;

use common::{World, done};

const SCRIPTS: &str = "\
[[script]]\nname = \"feed\"\ncommand = [\"./nosuch\"]\n\
[[script]]\nname = \"feed@2\"\ncommand = [\"./nosuch\"]\n\
[[script]]\nname = \"strategy\"\ncommand = [\"./nosuch\"]\n";

/// What bash offers at the end of this line, as its completion is told of it: in words that end at blanks and at `@`.
fn offered(world: &World, line: &str) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_mho")).parent().expect("a directory");
    let script = r#"
        PATH="$1:$PATH"
        eval "$(mho completions bash)"
        [[ "$(complete -p mho)" == *_mho_with_names* ]] || exit 9
        COMP_LINE="$2" COMP_POINT=${#2}
        COMP_WORDS=()
        for part in $2; do
            while [[ "$part" == *@* ]]; do
                [[ -n "${part%%@*}" ]] && COMP_WORDS+=("${part%%@*}")
                COMP_WORDS+=("@")
                part="${part#*@}"
            done
            COMP_WORDS+=("$part")
        done
        [[ "$2" == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _mho_with_names mho "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    world.prepare(&mut bash);
    bash.env("MHO_CONFIG", world.path("mho.toml")).args(["-c", script, "bash"]).arg(program).arg(line);
    let done = done(bash);
    assert_eq!((done.code, &*done.err), (0, ""), "{done:?}");
    done.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_names_of_the_configured_scripts() {
    let world = World::new(SCRIPTS);
    assert_eq!(offered(&world, "mho start "), ["feed", "feed@2", "strategy"]);
    assert_eq!(offered(&world, "mho logs st"), ["strategy"]);
    assert_eq!(offered(&world, "mho pause --stop f"), ["feed", "feed@2"]);
    assert_eq!(offered(&world, "mho restart feed@"), ["2"], "bash has taken the rest for another word");
    assert_eq!(offered(&world, "mho sta"), ["status", "start"]);
    assert!(offered(&world, "mho start --").contains(&"--force".to_owned()));
}

#[test]
fn where_the_configuration_is_broken_the_verbs_are_still_offered() {
    let world = World::new("[[script]]\nnmae = 1\n");
    assert_eq!(offered(&world, "mho start "), Vec::<String>::new());
    assert_eq!(offered(&world, "mho rel"), ["reload"]);
}

/// What fish offers at the end of this line, without the descriptions; none where there is no fish.
fn offered_by_fish(world: &World, line: &str) -> Option<Vec<String>> {
    if Command::new("fish").arg("--version").output().is_err() {
        println!("SKIPPED: fish is not installed (Debian package fish): its completions were not asked");
        return None;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_mho")).parent().expect("a directory");
    let script = "set -p PATH $argv[1]; mho completions fish | source; complete -C $argv[2]";
    let mut fish = Command::new("fish");
    world.prepare(&mut fish);
    fish.env("MHO_CONFIG", world.path("mho.toml")).args(["--no-config", "-c", script]).arg(program).arg(line);
    let done = done(fish);
    assert_eq!(done.code, 0, "{done:?}");
    Some(done.out.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
}

#[test]
fn fish_offers_the_names_of_the_configured_scripts() {
    let world = World::new(SCRIPTS);
    let Some(names) = offered_by_fish(&world, "mho start ") else { return };
    assert_eq!(names, ["feed", "feed@2", "strategy"]);
    assert_eq!(offered_by_fish(&world, "mho logs st"), Some(vec!["strategy".to_owned()]));
    assert_eq!(offered_by_fish(&world, "mho sta"), Some(vec!["start".to_owned(), "status".to_owned()]));
}
