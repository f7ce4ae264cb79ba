//! The real binary against the simulator, which runs in the test, survives the daemon's death and keeps the truth.

mod accounts;
mod adversity;
mod failpoints;
mod kills;
mod main_job;
mod site;
