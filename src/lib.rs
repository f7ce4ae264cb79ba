//! Rotates MongoDB Ops Manager KMIP master keys on a schedule, and proves each rotation.
//!
//! The rooms and the one direction in which they may use each other are drawn in `ARCHITECTURE.md`; a test holds
//! the drawing true.

pub mod alerts;
pub mod app;
pub mod cli;
pub mod config;
mod connection;
pub mod control;
pub mod domain;
mod durable;
pub mod engine;
pub mod evidence;
pub mod http;
pub mod policy;
pub mod ports;
pub mod remote;
pub mod simulator;
pub mod store;
pub mod telemetry;
