//! Pure decisions: which policy a target has, when its slot falls due, and what is to be done with it now.

mod breaker;
mod due;
mod look;
mod pace;
mod place;
mod plan;
mod rules;

pub use breaker::Breaker;
pub use due::due_at;
pub use look::{Looks, looks};
pub use pace::{give_up_after, poll_after, probe_after, retry_at, waits};
pub use plan::{Plan, plan};
pub use rules::{FirstRotation, ManagerRules, Policy, ProjectRules, Rules, Spread};
