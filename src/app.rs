//! The one place that knows every part and wires them.

mod checkpoints;
mod clock;
mod couriers;
mod daemon;
#[cfg(debug_assertions)]
mod failpoint;
mod housekeeping;
mod inventory;
mod jobs;
mod ledger;
mod listeners;
mod managers;
mod observers;
mod opening;
mod presence;
mod rehearsal;
mod reload;
mod review;
mod service;
mod start_error;
mod upkeep;
mod view;

pub use clock::{SystemClock, pause};
pub use daemon::{Daemon, Extras};
#[cfg(debug_assertions)]
pub use failpoint::Failpoint;
pub use ledger::{ByHand, record_by_hand};
pub use managers::second_opinion;
pub use presence::Presence;
pub use rehearsal::{Line, Outcome, Rehearsal, Rehearsed, Step, rehearse};
pub use reload::Read;
pub use review::{AccessList, Review, Reviewed, recorded, review};
pub use start_error::StartError;
pub use view::View;

/// The running version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The running version, the commit that it was built from, and how.
pub const BUILD: &str = env!("REKEYD_BUILD");
