//! Logs and metrics: what the engine and the remote clients tell, as lines and as counters.
//!
//! Nothing here decides. What is computed from the state of affairs at each scrape is built in `http`.

mod exposition;
mod lines;
mod log;
mod metrics;
mod observer;
mod process;

pub use exposition::{Gauges, Labels};
pub use log::{LogFormat, init};
pub use metrics::Metrics;
pub use observer::Narrator;
