//! What is seen from outside over TCP: health, metrics, JSON and a page. Read-only: no method changes anything.
//!
//! Everything is computed from one [`Situation`](crate::ports::Situation) at the moment of asking, so a restart or a
//! vanished target needs no bookkeeping here.

mod alerts;
mod guard;
mod health;
mod history;
mod ledger;
mod metrics;
mod page;
mod plan;
mod problem;
mod router;
mod series;
mod serve;
mod targets;
mod web_config;

pub use router::{Inputs, ROUTES, router};
pub use serve::serve;
pub use web_config::{Certificates, WebConfig, WebConfigError};
