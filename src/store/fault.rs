//! What can go wrong in the database, and what the engine is told of it.

use rusqlite::ErrorCode;

use crate::domain::Contradiction;
use crate::ports::JournalError;

/// Why an entry could not be taken in.
#[derive(Debug)]
pub(super) enum Fault {
    /// The fold refuses it.
    Impossible(Contradiction),
    /// The database refuses it.
    Sql(rusqlite::Error),
}

impl From<Contradiction> for Fault {
    fn from(contradiction: Contradiction) -> Self {
        Self::Impossible(contradiction)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for JournalError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Impossible(contradiction) => contradiction.into(),
            Fault::Sql(error) => classify(&error),
        }
    }
}

/// The engine's view of a database error.
pub(super) fn classify(error: &rusqlite::Error) -> JournalError {
    let said = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full(said),
        Some(ErrorCode::ReadOnly) => JournalError::ReadOnly(said),
        // The tables hold their own copy of the rules: what they refuse can not follow from what is known.
        Some(ErrorCode::ConstraintViolation) => Contradiction(said).into(),
        None if matches!(error, rusqlite::Error::StatementChangedRows(_)) => Contradiction(said).into(),
        _ => JournalError::Io(said),
    }
}
