//! Compares the tables of a database, row by row, with those that its ledger demands.

use std::cmp::Ordering;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Rows};

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

/// Sees that every table, index and trigger stands as the migrations made it. Added ones do no harm.
pub(super) fn compare_guards(found: &Connection, wanted: &Connection, head: u64) -> Result<(), VerifyError> {
    let mut made = wanted.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut look_up = found.prepare("SELECT sql FROM sqlite_schema WHERE name = ?")?;
    let mut rows = made.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, String) = row.try_into()?;
        let present: Option<Option<String>> = look_up.query_row([&name], |row| row.get(0)).optional()?;
        if present.flatten() != Some(sql) {
            let why = format!("the {kind} {name} is missing from the database, or was changed");
            return Err(Broken { seq: head, why }.into());
        }
    }
    Ok(())
}

/// Sees that every index of the tables that grow with the ledger knows as many rows as there are for it: rows that it left out
/// would be missing from answers that come by it, and from nothing else. `SQLite`'s own check, which knows which rows these are,
/// takes longer than all the rest.
///
/// `head` is the number of the last record, `of_targets` how many are about a target: to count them in the table once more would
/// take as long as to hash them.
pub(super) fn compare_indexes(found: &Connection, head: u64, of_targets: u64) -> Result<(), VerifyError> {
    for table in ["ledger"].into_iter().chain(LONG.map(|(table, _)| table)) {
        let mut list = found.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?")?;
        let indexes = list.query_map([table], |row| {
            let (name, sql): (String, Option<String>) = row.try_into()?;
            let some = sql.as_deref().and_then(|sql| sql.split_once(" WHERE ")).map_or("TRUE", |(_, some)| some);
            Ok((name, some.to_owned()))
        })?;
        let mut indexes: Vec<(String, String)> = indexes.collect::<rusqlite::Result<_>>()?;
        let there: Vec<u64> = if table == "ledger" {
            indexes.retain(|(_, some)| matches!(some.as_str(), "TRUE" | "target <> ''"));
            indexes.iter().map(|(_, some)| if some == "TRUE" { head } else { of_targets }).collect()
        } else {
            let counts: String = indexes.iter().map(|(_, some)| format!(", count(*) FILTER (WHERE {some})")).collect();
            found.query_row(&format!("SELECT count(*){counts} FROM {table} NOT INDEXED"), [], |row| {
                (1..=indexes.len()).map(|place| row.get(place)).collect()
            })?
        };
        for ((name, some), there) in indexes.iter().zip(there) {
            let sql = format!("SELECT count(*) FROM {table} INDEXED BY {name} WHERE {some}");
            let known: u64 = found.query_row(&sql, [], |row| row.get(0))?;
            if known != there {
                let why =
                    format!("the index {name} knows {known} rows of {there}: answers that come by it leave some out");
                return Err(Broken { seq: head, why }.into());
            }
        }
    }
    Ok(())
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
