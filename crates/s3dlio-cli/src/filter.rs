//! Which names of a listing are meant.

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

/// Which names of a listing are meant: all, without a flag; those that match both, with both.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filter {
    /// Only names that match, e.g. '*.npz'; with a / in it the whole name below URI has to: 'a/**/*.npz'
    #[arg(long, value_name = "PATTERN", value_parser = glob)]
    glob: Option<Glob>,
    /// Only names (below URI) in which the expression is found
    #[arg(long, value_name = "EXPRESSION")]
    regex: Option<Regex>,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
struct Glob {
    matcher: GlobMatcher,
    /// Whether the pattern is for the whole name; otherwise for its last segment.
    whole: bool,
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    let compiled = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(Glob { matcher: compiled.compile_matcher(), whole: pattern.contains('/') })
}

impl Filter {
    /// Whether everything is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.glob.is_none() && self.regex.is_none()
    }

    /// Whether a name below the listed URI is meant. The `/` at the end of a prefix is not part of what is matched.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        let name = name.strip_suffix('/').unwrap_or(name);
        let last = name.rsplit('/').next().unwrap_or(name);
        self.glob.as_ref().is_none_or(|glob| glob.matcher.is_match(if glob.whole { name } else { last }))
            && self.regex.as_ref().is_none_or(|regex| regex.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(pattern: Option<&str>, regex: Option<&str>, name: &str) -> bool {
        let filter = Filter { glob: pattern.map(|p| glob(p).unwrap()), regex: regex.map(|r| Regex::new(r).unwrap()) };
        filter.accepts(name)
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_the_last_segment() {
        assert!(accepts(Some("*.npz"), None, "a/b/c.npz"));
        assert!(accepts(Some("b?"), None, "a/b1/"));
        assert!(!accepts(Some("*.npz"), None, "a.npz/b"));
        assert!(accepts(Some("a/**/*.npz"), None, "a/b/c.npz"));
        assert!(!accepts(Some("a/*.npz"), None, "a/b/c.npz"));
    }

    #[test]
    fn an_expression_is_found_anywhere_and_both_must_hold() {
        assert!(accepts(None, Some("[0-9]{2}"), "set/017/x"));
        assert!(!accepts(None, Some("^017"), "set/017/x"));
        assert!(accepts(Some("x"), Some("^set"), "set/017/x"));
        assert!(!accepts(Some("y"), Some("^set"), "set/017/x"));
    }
}
