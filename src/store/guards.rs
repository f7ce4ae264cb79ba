//! Whether a database is made as the migrations make one: its tables, indexes and triggers, and none beside them.
//!
//! A trigger that was added can keep records out of the ledger, a view or an index can hide rows from every answer.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// What a database consists of, by kind and name: the table that it is for, and the SQL that made it; none of an index that a
/// constraint made.
type Parts = BTreeMap<(String, String), (String, Option<String>)>;

/// Which parts are looked at.
#[derive(Clone, Copy)]
pub(super) enum Looked {
    All,
    /// Those that act by themselves when a row is written.
    Triggers,
}

/// The first part in which a database differs from one that was just made, in words; none if there is no difference.
pub(super) fn first_difference(
    found: &Connection,
    made: &Connection,
    looked: Looked,
) -> rusqlite::Result<Option<String>> {
    let (found, made) = (parts(found, looked)?, parts(made, looked)?);
    let lost = made.iter().find(|(part, is)| found.get(*part) != Some(*is));
    if let Some(((kind, name), _)) = lost {
        return Ok(Some(format!("the {kind} {name} is missing from the database, or was changed")));
    }
    let added = found.keys().find(|part| !made.contains_key(*part));
    Ok(added.map(|(kind, name)| format!("the {kind} {name} was added to the database, and is none of rekeyd's")))
}

/// `ANALYZE` makes tables of statistics, which decide nothing but how answers are found.
fn parts(conn: &Connection, looked: Looked) -> rusqlite::Result<Parts> {
    let kinds = match looked {
        Looked::All => "type",
        Looked::Triggers => "'trigger'",
    };
    let sql = format!(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type = {kinds} AND name NOT GLOB 'sqlite_stat[1-4]'"
    );
    let mut statement = conn.prepare(&sql)?;
    let parts = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))))?;
    parts.collect()
}
