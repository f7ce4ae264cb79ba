//! What an auditor takes away: the history as tables and files that others can read and verify.
//!
//! A bundle depends on nothing but the ledger up to the end of its period, so it comes out the same whenever it is made. Only of
//! a target whose governing policy the ledger does not tell, or not yet, it depends on the policy that the configuration names. `gather` replays the ledger, `cover` says what each day of each target was, `blind` when
//! nobody could look, `unlisted` what could not be listed, `access` who could have rotated, `files` and `report` write it down, `pack` puts it where it is wanted.

mod access;
mod blind;
mod cover;
mod csv;
mod files;
mod gather;
mod pack;
mod picture;
mod policies;
mod report;
mod span;
#[cfg(test)]
mod tests;
mod unlisted;

pub use csv::{RECORD_COLUMNS, ROTATION_COLUMNS, csv_heading, csv_line};
pub use files::{Wanted, export};
pub use gather::EvidenceError;
pub use pack::PackError;
pub use span::{Span, SpanError};
