//! What an auditor takes away: the history as tables and files that others can read and verify.
//!
//! A bundle depends on nothing but the ledger up to the end of its period and the policies' names in the configuration, so it
//! comes out the same whenever it is made. [`gather`](gather::gather) replays the ledger, `cover` says what each day of each
//! target was, `files` and `report` write it down, `pack` puts it where it is wanted.

mod cover;
mod csv;
mod files;
mod gather;
mod pack;
mod picture;
mod report;
mod span;

pub use csv::{RECORD_COLUMNS, ROTATION_COLUMNS, csv_heading, csv_line};
pub use files::{Named, files};
pub use gather::{Evidence, EvidenceError, gather};
pub use pack::{PackError, archive, folder};
pub use span::{Span, SpanError};
