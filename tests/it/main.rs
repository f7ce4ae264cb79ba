//! Flows through the whole daemon, against real servers. One file a subject.

mod config;
mod engine;
mod house;
mod ledger;
mod simulator;
mod world;
