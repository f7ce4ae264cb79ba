//! Freezes: stretches of time in which nothing is rotated, each with a name, a reason, and an end.

use jiff::Timestamp;

use super::glob::Glob;
use super::ids::TargetName;
use super::order::Caller;
use super::span::Span;

/// A freeze. It ends by itself; what fell due in it catches up afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// What people call it.
    pub name: String,
    /// Why.
    pub reason: String,
    /// From when to when.
    pub span: Span,
    /// Whose keys are not rotated: a pattern over targets' names, in which `*` crosses slashes.
    pub scope: Glob,
}

impl Freeze {
    /// Whether it is about this target.
    pub fn covers(&self, target: &TargetName) -> bool {
        self.scope.matches(target.as_str())
    }
}

/// A freeze that an operator ordered. One that is over is kept: what fell due in it was held, and that is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedFreeze {
    /// The freeze, as it was ordered or cut short.
    pub freeze: Freeze,
    /// When it was ordered.
    pub ordered_at: Timestamp,
    /// By whom.
    pub by: Caller,
    /// Whether its end is on record.
    pub ended: bool,
}

impl OrderedFreeze {
    /// What is left of it when it ends at `at`; nothing if it had not begun.
    pub(super) fn ended(&self, at: Timestamp) -> Option<Self> {
        let mut ended = Self { ended: true, ..self.clone() };
        let span = &mut ended.freeze.span;
        span.end = span.end.min(at);
        (span.start < span.end).then_some(ended)
    }
}
