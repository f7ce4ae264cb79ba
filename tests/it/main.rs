//! Flows through the whole daemon, against real servers. One file a subject.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and names only the cases that it is about"
)]

mod config;
mod digest;
mod discovery;
mod engine;
mod far_end;
mod hostile;
mod house;
mod ledger;
mod page;
mod seen;
mod simulator;
mod tls;
mod web_config;
mod world;
