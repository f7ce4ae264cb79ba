//! The real binary against the simulator, which runs in the test, survives the daemon's death and keeps the truth.

#![expect(clippy::disallowed_methods, reason = "other processes live in real time")]

mod accounts;
mod commands;
mod demonstration;
mod full_disk;
mod kills;
mod main_job;
mod second_daemon;
mod secrets;
mod series;
mod site;
mod stops;
mod troubles;
