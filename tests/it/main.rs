//! Flows through the whole daemon, against real servers. One file a subject.

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
