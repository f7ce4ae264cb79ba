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
mod place;
mod plan;
mod rules;
mod settings;
mod turn;
mod window;

pub use breaker::Breaker;
pub use coverage::{Coverage, Member, coverage};
pub use cron::{Cron, CronError};
pub use due::{begins_at, due_at};
pub use freeze::{freezes, freezes_from};
pub use gate::objection;
pub use horizon::{Occasion, TooMany, held_then, horizon, next_at};
pub use line::Line;
pub use look::{Looks, look_every, looks};
pub use miss::passed;
pub use pace::{give_up_after, poll_after, probe_after, retry_at, waits};
pub use plan::{Plan, plan};
pub use rules::{Chosen, ManagerRules, Override, ProjectRules, Rules};
pub use settings::{FirstRotation, MemberOrder, Policy, Rhythm, Spread};
pub use window::{Window, WindowError, Windows, name_of};
