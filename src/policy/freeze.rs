//! Freezes: stretches of time in which nothing is rotated, each with a name, a reason, and an end.

use super::rules::Glob;
use crate::domain::{Span, TargetName};

/// A freeze. It ends by itself; what fell due in it catches up afterwards.
#[derive(Clone, Debug)]
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
