//! What is wrong with a configuration, as data and as text for people. Finding it is left to the readers.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::level::{ERROR, HELP, WARNING};
use annotate_snippets::{AnnotationKind, Group, Origin, Renderer, Snippet, normalize_untrusted_str};

/// Everything that one reading of a configuration found, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing to change, or to think about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can be used nevertheless.
    pub severity: Severity,
    /// Where; none if the whole file is meant.
    pub at: Option<Place>,
    /// What is wrong. Never holds a value that may be a secret.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether a configuration can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but may not do what its author wants.
    Warning,
}

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What may be shown of the file; none for a syntax error, where nobody knows what a line holds.
    pub(super) excerpt: Option<Excerpt>,
}

/// A key and perhaps its value, cut out of the file. Never the rest of a line, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The number of its first line.
    pub(super) line: usize,
    /// Begins with blanks up to the column at which it stands.
    pub(super) text: String,
    /// The bytes of `text` to point at.
    pub(super) marked: Range<usize>,
}

impl Problems {
    /// Sorts them by their place; what has none comes last.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column)));
        Self(problems)
    }

    /// A single one, about the whole file.
    pub(super) fn about_the_file(what: String, help: Option<String>) -> Self {
        Self(vec![Problem { severity: Severity::Error, at: None, what, help }])
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as text, each with the place in `path` that it is about; ends with a line break unless empty.
    pub fn render(&self, path: &Path, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = path.display().to_string();
        let texts: Vec<String> =
            self.0.iter().map(|problem| renderer.render(&[problem.report(&path)]) + "\n").collect();
        texts.join("\n")
    }
}

impl Problem {
    fn report<'a>(&'a self, path: &'a str) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        };
        let title = level.primary_title(self.what.as_str());
        let group = match &self.at {
            None => title.element(Origin::path(path)),
            Some(Place { line, column, excerpt: None }) => {
                title.element(Origin::path(path).line(*line).char_column(*column))
            }
            Some(Place { excerpt: Some(excerpt), .. }) => title.element(
                Snippet::source(excerpt.text.as_str())
                    .path(path)
                    .line_start(excerpt.line)
                    .annotation(AnnotationKind::Primary.span(excerpt.marked.clone())),
            ),
        };
        match &self.help {
            None => group,
            // Unlike titles, messages may hold control characters; a path in one may be anybody's.
            Some(help) => group.element(HELP.message(normalize_untrusted_str(help))),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has 1 problem"),
            count => write!(f, "the configuration has {count} problems"),
        }
    }
}

impl std::error::Error for Problems {}
