//! Compares the tables of a database, row by row, with those that its ledger demands.

use std::cmp::Ordering;

use rusqlite::types::Value;
use rusqlite::{Connection, Rows};

use super::verify::{Broken, VerifyError};

/// The tables that follow from the ledger, with their keys: those that grow with it, and those that do not.
const LONG: [(&str, &str); 2] = [("rotation", "target, slot, attempt"), ("key", "target, came_seq")];
const SHORT: [(&str, &str); 12] = [
    ("target", "id"),
    ("manager", "name"),
    ("gap", "manager, project_id, project, cluster"),
    ("unread_project", "manager, project"),
    ("alert", "alert, subject_kind, subject"),
    ("receiver", "name"),
    ("told", "receiver, alert, subject_kind, subject"),
    ("policy", "name"),
    ("api_key", "manager, id"),
    ("api_key_list", "manager, list"),
    ("pause", "scope"),
    ("freeze", "name"),
];

/// Compares every table whose length has a bound with its replayed twin.
pub(super) fn compare_short_tables(found: &Connection, wanted: &Connection) -> Result<(), VerifyError> {
    SHORT.iter().try_for_each(|table| compare(table, found, wanted))
}

/// Compares the tables that grow with the ledger with their replayed twins.
pub(super) fn compare_long_tables(found: &Connection, wanted: &Connection) -> Result<(), VerifyError> {
    LONG.iter().try_for_each(|table| compare(table, found, wanted))
}

fn compare((table, key): &(&str, &str), found: &Connection, wanted: &Connection) -> Result<(), VerifyError> {
    let sql = format!("SELECT * FROM {table} ORDER BY {key}");
    let (mut found, mut wanted) = (found.prepare(&sql)?, wanted.prepare(&sql)?);
    let columns: Vec<String> = wanted.column_names().map(str::to_owned).collect();
    let shape = Shape { table, columns, keys: key.split(", ").collect() };
    shape.compare(&mut found.query([])?, &mut wanted.query([])?)
}

struct Shape<'a> {
    table: &'a str,
    columns: Vec<String>,
    keys: Vec<&'a str>,
}

type Row = Vec<Value>;

impl Shape<'_> {
    fn compare(&self, found: &mut Rows<'_>, wanted: &mut Rows<'_>) -> Result<(), VerifyError> {
        loop {
            let (one, other) = (self.next(found)?, self.next(wanted)?);
            let (seq, why) = match (&one, &other) {
                (None, None) => return Ok(()),
                (Some(one), Some(other)) if one == other => continue,
                (Some(one), Some(other)) => match self.order(one, other) {
                    Ordering::Equal => match self.columns.iter().find(|column| self.differ(one, other, column)) {
                        None => continue,
                        Some(column) => {
                            let (is, ought) = (show(self.value(one, column)), show(self.value(other, column)));
                            (self.seq(other), format!("{}: {column} is {is}, the ledger says {ought}", self.name(one)))
                        }
                    },
                    Ordering::Less => (self.seq(one), self.unmade(one)),
                    Ordering::Greater => (self.seq(other), self.lost(other)),
                },
                (Some(one), None) => (self.seq(one), self.unmade(one)),
                (None, Some(other)) => (self.seq(other), self.lost(other)),
            };
            return Err(Broken { seq, why }.into());
        }
    }

    fn next(&self, rows: &mut Rows<'_>) -> rusqlite::Result<Option<Row>> {
        let Some(row) = rows.next()? else { return Ok(None) };
        self.columns.iter().map(|column| row.get(column.as_str())).collect::<rusqlite::Result<_>>().map(Some)
    }

    fn order(&self, one: &Row, other: &Row) -> Ordering {
        let keys = self.keys.iter().map(|key| order(self.value(one, key), self.value(other, key)));
        keys.fold(Ordering::Equal, Ordering::then)
    }

    /// When a present key was last seen is kept up to date without records.
    fn differ(&self, one: &Row, other: &Row, column: &str) -> bool {
        let untold = match self.table {
            "target" => column == "key_last_seen",
            "key" => column == "last_seen" && *self.value(other, "replaced_at") == Value::Null,
            _ => false,
        };
        !untold && self.value(one, column) != self.value(other, column)
    }

    fn value<'r>(&self, row: &'r Row, column: &str) -> &'r Value {
        let place = self.columns.iter().position(|name| name == column);
        place.and_then(|place| row.get(place)).unwrap_or(&Value::Null)
    }

    /// The record that a row follows from.
    fn seq(&self, row: &Row) -> u64 {
        if let Value::Integer(seq) = self.value(row, "seq") { u64::try_from(*seq).unwrap_or_default() } else { 0 }
    }

    fn name(&self, row: &Row) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| show(self.value(row, key))).collect();
        format!("table {}, row {}", self.table, keys.join(" "))
    }

    fn unmade(&self, row: &Row) -> String {
        format!("{}: no record made this row", self.name(row))
    }

    fn lost(&self, row: &Row) -> String {
        format!("{}: the row is missing", self.name(row))
    }
}

/// The database's own order, of the two types that keys have.
fn order(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_), _) => Ordering::Equal,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    /// Promise: a table that a migration adds is compared, too.
    #[test]
    fn every_table_is_compared() {
        let made = schema::connect_scratch().unwrap();
        let mut tables = made.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables =
            tables.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<Vec<String>>>().unwrap();
        let source = ["ledger", "ledger_identity", "refinery_schema_history"];
        let compared = LONG.iter().chain(&SHORT).map(|(table, _)| *table);
        let mut known: Vec<&str> = source.into_iter().chain(compared).collect();
        let mut tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        known.sort_unstable();
        tables.sort_unstable();
        assert_eq!(tables, known);
    }
}
