//! The far end over HTTP: implements [`KeyService`](crate::ports::KeyService) for each kind of manager.
//!
//! From the wire up: `transport` moves bytes under limits, `digest` answers challenges, `session` makes of both
//! one call that is rate-limited, timed and observed, `error` says what can go wrong and `verdict` what may be
//! done about it. A kind of manager ([`ops_manager`]) adds addresses and documents. Nothing here tries a request again,
//! except after a 401, which proves that the server did not act; when to try again is the engine's business.

mod digest;
mod error;
pub mod ops_manager;
mod rate;
mod refusal;
pub mod second_reader;
mod session;
mod transport;
mod verdict;

pub use transport::SetupError;
