//! Pure decisions: which policy a target has, when its slot falls due, and what is to be done with it now.

mod breaker;
mod coverage;
mod cron;
mod due;
mod freeze;
mod gate;
mod horizon;
mod line;
mod look;
mod miss;
mod pace;
mod pauses;
mod place;
mod plan;
mod rules;
mod settings;
mod window;

pub use breaker::Breaker;
pub use coverage::{Coverage, Member, coverage};
pub use cron::{Cron, CronError};
pub use due::{begins_at, due_at};
pub use freeze::Freeze;
pub use gate::{Shut, shut};
pub use horizon::{Occasion, horizon};
pub use line::Line;
pub use look::{Looks, looks};
pub use miss::passed;
pub use pace::{give_up_after, poll_after, probe_after, retry_at, waits};
pub use plan::{Plan, plan, shut_by};
pub use rules::{Chosen, Glob, ManagerRules, Override, ProjectRules, Rules};
pub use settings::{FirstRotation, MemberOrder, Policy, Rhythm, Spread};
pub use window::{Window, WindowError, Windows, name_of};
