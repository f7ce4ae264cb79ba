//! The real binary against the simulator, which runs in the test, survives the daemon's death and keeps the truth.

#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

mod accounts;
mod adversity;
mod clock;
mod commands;
mod demonstration;
mod disk;
mod failpoints;
mod freezes;
mod history;
mod kills;
mod main_job;
mod orders;
mod outage;
mod reloads;
mod second_daemon;
mod secrets;
mod series;
mod service;
pub(crate) mod site;
mod stops;
mod told;
mod troubles;
mod vanished;
