//! The statements that write a row, made from pairs of column and value so that the two cannot come apart.

use rusqlite::{Connection, ToSql};

/// A column and the value that it takes.
pub(super) type Column<'a> = (&'static str, &'a dyn ToSql);
/// Room for the longest statement, in bytes: one is put together for each row, and its text is not to be moved as it grows.
const LONG: usize = 2048;

/// Adds a row.
pub(super) fn insert(conn: &Connection, table: &str, columns: &[Column<'_>]) -> rusqlite::Result<()> {
    one(run(conn, &insertion(table, columns, &[]), columns.iter())?)
}

/// Adds a row, or writes over the one with the same key.
pub(super) fn upsert(conn: &Connection, table: &str, key: &[Column<'_>], rest: &[Column<'_>]) -> rusqlite::Result<()> {
    let mut sql = insertion(table, key, rest);
    sql.push_str(" ON CONFLICT (");
    list(&mut sql, ", ", key, |sql, name| sql.push_str(name));
    sql.push_str(") DO UPDATE SET ");
    list(&mut sql, ", ", rest, |sql, name| sql.extend([name, " = excluded.", name]));
    one(run(conn, &sql, key.iter().chain(rest))?)
}

/// A row that a trigger kept from being written is no error to `SQLite`. It must not pass for written.
fn one(rows: usize) -> rusqlite::Result<()> {
    if rows == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(rows)) }
}

/// Writes over the row with this key, and says whether there was one.
pub(super) fn update(
    conn: &Connection,
    table: &str,
    key: &[Column<'_>],
    rest: &[Column<'_>],
) -> rusqlite::Result<bool> {
    let mut sql = updating(table, rest);
    list(&mut sql, " AND ", key, |sql, name| sql.extend([name, " = ?"]));
    run(conn, &sql, rest.iter().chain(key)).map(|rows| rows > 0)
}

/// Writes over the rows that the condition wants, with its values, and says whether there was one.
pub(super) fn update_where(
    conn: &Connection,
    table: &str,
    wanted: &str,
    values: &[&dyn ToSql],
    rest: &[Column<'_>],
) -> rusqlite::Result<bool> {
    let sql = updating(table, rest) + wanted;
    let values = rest.iter().map(|(_, value)| *value).chain(values.iter().copied());
    let rows = conn.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(rows > 0)
}

/// An UPDATE of these columns, up to its condition.
fn updating(table: &str, rest: &[Column<'_>]) -> String {
    let mut sql = String::with_capacity(LONG);
    sql.extend(["UPDATE ", table, " SET "]);
    list(&mut sql, ", ", rest, |sql, name| sql.extend([name, " = ?"]));
    sql.push_str(" WHERE ");
    sql
}

fn insertion(table: &str, key: &[Column<'_>], rest: &[Column<'_>]) -> String {
    let mut sql = String::with_capacity(LONG);
    sql.extend(["INSERT INTO ", table, " ("]);
    let columns = key.iter().chain(rest);
    list(&mut sql, ", ", columns.clone(), |sql, name| sql.push_str(name));
    sql.push_str(") VALUES (");
    list(&mut sql, ", ", columns, |sql, _| sql.push('?'));
    sql.push(')');
    sql
}

/// Writes something for each column.
fn list<'a>(
    sql: &mut String,
    between: &str,
    columns: impl IntoIterator<Item = &'a Column<'a>>,
    write: impl Fn(&mut String, &str),
) {
    for (number, (name, _)) in columns.into_iter().enumerate() {
        if number > 0 {
            sql.push_str(between);
        }
        write(sql, name);
    }
}

fn run<'a>(conn: &Connection, sql: &str, columns: impl Iterator<Item = &'a Column<'a>>) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(rusqlite::params_from_iter(columns.map(|(_, value)| *value)))
}
