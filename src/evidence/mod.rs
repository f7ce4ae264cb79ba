//! What an auditor takes away: the history as tables and files that others can read and verify.

mod csv;

pub use csv::{RECORD_COLUMNS, ROTATION_COLUMNS, csv_heading, csv_line};
