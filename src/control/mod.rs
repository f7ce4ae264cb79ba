//! The way in for operators: orders over HTTP on a unix socket, each on record with who gave it and why.
//!
//! The kernel says who is at the other end (`SO_PEERCRED`); [`Authority`] decides whether that person may give orders. The
//! engine is reached only through its ports: an order becomes events, and the planner does the rest. The other end of the
//! conversation is [`Client`].

mod authority;
mod client;
mod extract;
mod freezes;
mod orders;
mod refused;
mod serve;
mod wire;

pub use authority::{Authority, AuthorityError};
pub use client::{Client, ClientError};
pub use orders::Inputs;
pub use serve::{ListenError, Socket};
pub use wire::{
    DaemonState, FreezeOrder, Frozen, ObserveOrder, Orderable, PauseOrder, Paused, Readiness, RearmOrder, Reasoned,
    ReloadOrder, Reloaded, ResumeOrder, RotateOrder, TargetState, ThawOrder, UpkeepState,
};
