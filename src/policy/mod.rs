//! Pure decisions: which policy a target has, when its slot falls due, and what is to be done with it now.

mod due;
mod rules;

pub use due::due_at;
pub use rules::{FirstRotation, ManagerRules, Policy, ProjectRules, Rules, Spread};
