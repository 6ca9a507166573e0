//! Shell completions. What the generator cannot know, the names of the configured scripts, the shell asks `mho __scripts` for.

use clap::Command;
use clap_complete::Shell;

/// Verbs that take the name of a script.
const VERBS: &str = "start stop restart skip pause resume exec logs history";

/// Asks for the names; where there is no configuration, or a broken one, there are none.
const NAMES: &str = "mho __scripts 2>/dev/null";

/// The completions for this shell.
pub(super) fn script(shell: Shell, mut command: Command) -> String {
    // To memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "mho", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + &bash(),
        Shell::Zsh => zsh(&script),
        Shell::Fish => script + &fish(),
        _ => script,
    }
}

/// Bash ends words at an `@`, which names may have: the word is read off the line, and what bash takes for an earlier word is left out again.
fn bash() -> String {
    let verbs = VERBS.replace(' ', "|");
    format!(
        r#"
_mho_with_names() {{
    _mho "$@"
    local line="${{COMP_LINE:0:COMP_POINT}}" verb before=""
    local word="${{line##*[[:space:]]}}"
    [[ "$word" == -* ]] && return 0
    [[ "$COMP_WORDBREAKS" == *@* && "$word" == *@* ]] && before="${{word%@*}}@"
    for verb in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$verb" in
            {verbs})
                COMPREPLY=($(compgen -W "$({NAMES})" -- "$word"))
                COMPREPLY=("${{COMPREPLY[@]#"$before"}}")
                return 0
                ;;
        esac
    done
}}
complete -F _mho_with_names -o nosort -o bashdefault -o default mho
"#
    )
}

fn zsh(script: &str) -> String {
    let names = format!("_mho_names() {{\n    compadd -- ${{(f)\"$({NAMES})\"}}\n}}\n");
    let script = ["Which script", "Of this script alone"].iter().fold(script.to_owned(), |script, help| {
        script.replace(&format!("name -- {help}:_default"), &format!("name -- {help}:_mho_names"))
    });
    // Behind the line that says what the file is for.
    match script.split_once('\n') {
        Some((first, rest)) => format!("{first}\n\n{names}{rest}"),
        None => script,
    }
}

fn fish() -> String {
    format!("complete -c mho -n \"__fish_seen_subcommand_from {VERBS}\" -f -a \"({NAMES})\"\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_verb_that_takes_the_name_of_a_script_completes_it() {
        let command = Cli::command();
        let takes_a_name = |verb: &&Command| verb.get_positionals().any(|argument| argument.get_id() == "name");
        let verbs: Vec<&str> = command.get_subcommands().filter(takes_a_name).map(Command::get_name).collect();
        let mut known: Vec<&str> = VERBS.split(' ').collect();
        let mut all = verbs.clone();
        known.sort_unstable();
        all.sort_unstable();
        assert_eq!(all, known);
        let zsh = script(Shell::Zsh, Cli::command());
        assert_eq!(zsh.matches(":_mho_names'").count(), verbs.len(), "zsh asks for names wherever one is taken");
        assert!(script(Shell::Fish, Cli::command()).contains(VERBS));
    }
}
