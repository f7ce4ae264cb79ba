//! The text of a configuration, what was found in it so far, and where. Its sections are read in [`super::section`].

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::{Excerpt, Place, Problem, Problems, Severity};

/// The text, and what was found in it so far.
pub(super) struct Document<'t> {
    text: &'t str,
    found: RefCell<Vec<Problem>>,
    opened: RefCell<Vec<PathBuf>>,
}

/// Bytes of the document to point at, and where to begin showing it.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) shown_from: usize,
    pub(super) marked: Range<usize>,
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::default(), opened: RefCell::default() }
    }

    /// What the text says; none after a syntax error, which is noted.
    pub(super) fn entries(&self) -> Option<DeTable<'_>> {
        match DeTable::parse(self.text) {
            Ok(entries) => Some(entries.into_inner()),
            Err(error) => {
                // The library names the bytes at fault and quotes none of them; the line could be `private_key = "...`.
                let at = error.span().map(|span| Place { excerpt: None, ..self.place(&Spot::of(span)) });
                let what = format!("not valid TOML: {}", error.message());
                let help = Some("the line is not shown, because it could hold a secret".to_owned());
                self.found.borrow_mut().push(Problem { severity: Severity::Error, at, what, help });
                None
            }
        }
    }

    /// Notes that the configuration cannot be used as it is.
    pub(super) fn problem(&self, spot: &Spot, what: impl Into<String>, help: impl Into<Option<String>>) {
        self.note(Severity::Error, spot, what.into(), help.into());
    }

    /// Notes that the configuration may not do what its author wants.
    pub(super) fn warning(&self, spot: &Spot, what: impl Into<String>, help: impl Into<Option<String>>) {
        self.note(Severity::Warning, spot, what.into(), help.into());
    }

    /// Notes that a file was opened because this text names it.
    pub(super) fn opened(&self, path: &Path) {
        self.opened.borrow_mut().push(path.to_owned());
    }

    /// The files that were opened so far.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.opened.borrow().clone()
    }

    /// How many problems and warnings there are so far.
    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    fn note(&self, severity: Severity, spot: &Spot, what: String, help: Option<String>) {
        self.found.borrow_mut().push(Problem { severity, at: Some(self.place(spot)), what, help });
    }

    /// The problems; without any, the warnings.
    pub(super) fn verdict(&self) -> Result<Problems, Problems> {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            self.found.take().into_iter().partition(|problem| problem.severity == Severity::Error);
        if errors.is_empty() { Ok(Problems::new(warnings)) } else { Err(Problems::new(errors)) }
    }

    /// A part of the text.
    pub(super) fn text(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).expect("spans come from this document's parser")
    }

    fn place(&self, spot: &Spot) -> Place {
        let (line, column) = self.line_and_column(spot.marked.start);
        let (first_line, first_column) = self.line_and_column(spot.shown_from);
        let excerpt = (!spot.marked.is_empty()).then(|| {
            let indent = " ".repeat(first_column - 1);
            let text = self.text(spot.shown_from..spot.marked.end);
            let shift = |byte: usize| byte - spot.shown_from + indent.len();
            Excerpt {
                line: first_line,
                marked: shift(spot.marked.start)..shift(spot.marked.end),
                text: format!("{indent}{text}"),
            }
        });
        Place { line, column, excerpt }
    }

    fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let before = self.text(0..byte);
        let line = before.rsplit('\n').next().expect("a split has at least one part");
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl Spot {
    /// The beginning of the document.
    pub(super) const TOP: Self = Self { shown_from: 0, marked: 0..0 };

    /// Shows nothing but what it points at.
    pub(super) fn of(span: Range<usize>) -> Self {
        Self { shown_from: span.start, marked: span }
    }
}
