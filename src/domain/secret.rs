//! What nobody is shown, and texts without it.

use std::fmt;
use std::sync::Arc;

/// A shorter value is no secret: its letters stand everywhere.
const SHORTEST: usize = 6;

/// What takes the place of a secret.
const REDACTED: &str = "[redacted]";

/// A value that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes it in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// `text` without any of `secrets`.
#[must_use]
pub fn redacted<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let known = secrets.into_iter().map(Secret::reveal).filter(|secret| secret.len() >= SHORTEST);
    known
        .fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, REDACTED) } else { text })
}

/// The values of a script's `env` and `env_file`: what it says is passed on without them. Its own log file is its own affair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden(Arc<[Secret]>);

impl Hidden {
    /// A value of several lines is hidden line by line, as it would be printed.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = values.into_iter().flat_map(str::lines).map(str::trim).filter(|line| line.len() >= SHORTEST);
        let mut lines: Vec<&str> = lines.collect();
        // The longest first: a value may stand in another one.
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        lines.dedup();
        Self(lines.into_iter().map(Secret::new).collect())
    }

    /// `text` without them.
    #[must_use]
    pub fn cut(&self, text: String) -> String {
        if self.0.is_empty() { text } else { redacted(&text, self.0.iter()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("https://hooks.example/T0/B0/xyz");
        assert_eq!(format!("{secret:?}"), "(not shown)");
        let text = redacted("post to https://hooks.example/T0/B0/xyz failed", [&secret]);
        assert_eq!(text, "post to [redacted] failed");
        assert_eq!(redacted("a b", &[Secret::new("a"), Secret::new("")]), "a b");
    }

    #[test]
    fn what_a_script_says_is_passed_on_without_its_values() {
        let hidden = Hidden::of(["api-key", "api-key-of-desk-7", "1", "-----BEGIN\nMIIEpAIBAAK\n"]);
        let said = |text: &str| hidden.cut(text.to_owned());
        assert_eq!(said("login with api-key-of-desk-7 failed: 1"), "login with [redacted] failed: 1");
        assert_eq!(said("api-key? MIIEpAIBAAK"), "[redacted]? [redacted]");
        assert_eq!(Hidden::default().cut("as it is".to_owned()), "as it is");
    }
}
