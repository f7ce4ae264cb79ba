//! Patterns over names: of targets, projects and clusters.

use std::fmt;

use wildmatch::WildMatch;

/// A pattern over names: `*` for any text, `?` for any character.
#[derive(Clone, Debug, PartialEq)]
pub struct Glob {
    matcher: WildMatch,
    /// How much it says: a name more than a pattern, a pattern more than `*`; of two patterns, the one with more letters.
    specificity: (u8, usize),
}

/// Patterns are texts: each equals itself.
impl Eq for Glob {}

impl Glob {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let letters = text.chars().filter(|letter| !matches!(letter, '*' | '?')).count();
        let specificity = match text {
            "*" => (0, 0),
            text if text.contains(['*', '?']) => (1, letters),
            _ => (2, letters),
        };
        Self { matcher: WildMatch::new(text), specificity }
    }

    /// How much it says, for comparing: of two that match, the greater one says more. `*` says nothing: (0, 0).
    pub const fn specificity(&self) -> (u8, usize) {
        self.specificity
    }

    /// Whether it matches.
    pub fn matches(&self, name: &str) -> bool {
        self.matcher.matches(name)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matcher.fmt(f)
    }
}
