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

mod check;
mod config;
mod daemon;
mod delivery;
mod digest;
mod discovery;
mod docs;
mod engine;
mod far_end;
mod hostile;
mod house;
mod inventory;
mod ledger;
mod outages;
mod page;
mod prometheus;
mod seen;
mod simulation;
mod simulator;
mod systemd;
mod tls;
mod web_config;
mod when;
mod world;
