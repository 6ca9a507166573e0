//! Colours, where there is somebody to see them.

use std::io::IsTerminal;

/// How something is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// As all the rest.
    Plain,
    /// Nothing to look at.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Needs somebody.
    Bad,
}

/// What the text is written on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    /// So many columns.
    pub(super) width: usize,
    /// So many lines are seen at once; None = it does not matter.
    pub(super) height: Option<usize>,
    pub(super) colour: bool,
    pub(super) is_terminal: bool,
}

/// Where nobody says how wide it is.
const WIDTH: usize = 80;

impl Paper {
    /// The standard output.
    pub(super) fn of_stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|_| is_terminal);
        let some = |count: u16| Some(usize::from(count)).filter(|count| *count > 0);
        Self {
            width: size.and_then(|size| some(size.ws_col)).unwrap_or(WIDTH),
            height: size.and_then(|size| some(size.ws_row)),
            colour: is_terminal && !set("NO_COLOR") && !is_dumb,
            is_terminal,
        }
    }

    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            _ if !self.colour => return text.to_owned(),
            Ink::Plain => return text.to_owned(),
            Ink::Dim => "2",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
