//! Flows through the whole daemon, against real servers. One file a subject.

mod config;
mod engine;
mod house;
mod simulator;
mod world;
