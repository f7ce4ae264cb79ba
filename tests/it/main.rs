//! Flows through the whole daemon, against real servers. One file a subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can not go on fails; clippy itself excuses only functions marked as tests"
)]

mod config;
mod digest;
mod discovery;
mod engine;
mod far_end;
mod hostile;
mod house;
mod ledger;
mod seen;
mod simulator;
mod tls;
mod world;
