//! What can go wrong in the database, and what the engine is told of it.

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};

use crate::domain::Contradiction;
use crate::ports::JournalError;

/// Why an entry could not be taken in.
#[derive(Debug)]
pub(super) enum Fault {
    /// The fold refuses it.
    Impossible(Contradiction),
    /// The tables refuse what follows from it.
    Row(rusqlite::Error),
    /// The ledger itself does not take its record.
    Ledger(rusqlite::Error),
}

impl From<Contradiction> for Fault {
    fn from(contradiction: Contradiction) -> Self {
        Self::Impossible(contradiction)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Row(error)
    }
}

impl From<Fault> for JournalError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Impossible(contradiction) => contradiction.into(),
            // The tables hold their own copy of the rules: what they refuse cannot follow from what is known.
            Fault::Row(error) if breaks_a_rule(&error) => Contradiction(error.to_string()).into(),
            Fault::Row(error) | Fault::Ledger(error) => classify(&error),
        }
    }
}

/// The engine's view of a database error that no caller's event explains.
pub(super) fn classify(error: &rusqlite::Error) -> JournalError {
    let said = error.to_string();
    if matches!(error, rusqlite::Error::StatementChangedRows(_)) {
        return JournalError::Io(
            "a trigger in the database keeps records from being written; `rekeyd audit verify` names it".to_owned(),
        );
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full(said),
        Some(ErrorCode::ReadOnly) => JournalError::ReadOnly(said),
        Some(ErrorCode::SystemIoFailure) if is_sync(error) => {
            JournalError::Io(format!("a sync to the disk failed: {said}"))
        }
        // A record that was made to follow the last one follows it, unless that is no longer the last.
        Some(ErrorCode::ConstraintViolation) => JournalError::Io(format!("another writer was in the database: {said}")),
        _ => JournalError::Io(said),
    }
}

fn is_sync(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC].contains(&error.extended_code))
}

fn breaks_a_rule(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        || matches!(error, rusqlite::Error::StatementChangedRows(_))
}
