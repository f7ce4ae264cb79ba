//! The three statements that write a row, made from pairs of column and value so that the two cannot come apart.

use rusqlite::{Connection, ToSql};

/// A column and the value that it takes.
pub(super) type Column<'a> = (&'static str, &'a dyn ToSql);

/// Adds a row.
pub(super) fn insert(conn: &Connection, table: &str, columns: &[Column<'_>]) -> rusqlite::Result<()> {
    run(conn, &insertion(table, columns.len(), columns.iter()), columns.iter()).map(drop)
}

/// Adds a row, or writes over the one with the same key.
pub(super) fn upsert(conn: &Connection, table: &str, key: &[Column<'_>], rest: &[Column<'_>]) -> rusqlite::Result<()> {
    let insertion = insertion(table, key.len() + rest.len(), key.iter().chain(rest));
    let key_names = joined(key.iter().map(|(name, _)| (*name).to_owned()));
    let taken = joined(rest.iter().map(|(name, _)| format!("{name} = excluded.{name}")));
    let sql = format!("{insertion} ON CONFLICT ({key_names}) DO UPDATE SET {taken}");
    run(conn, &sql, key.iter().chain(rest)).map(drop)
}

/// Writes over the row with this key, and says whether there was one.
pub(super) fn update(
    conn: &Connection,
    table: &str,
    key: &[Column<'_>],
    rest: &[Column<'_>],
) -> rusqlite::Result<bool> {
    let wanted: Vec<String> = key.iter().map(|(name, _)| format!("{name} IS ?")).collect();
    let values: Vec<&dyn ToSql> = key.iter().map(|(_, value)| *value).collect();
    update_where(conn, table, &wanted.join(" AND "), &values, rest)
}

/// Writes over the rows that the condition wants, with its values, and says whether there was one.
pub(super) fn update_where(
    conn: &Connection,
    table: &str,
    wanted: &str,
    values: &[&dyn ToSql],
    rest: &[Column<'_>],
) -> rusqlite::Result<bool> {
    let taken = joined(rest.iter().map(|(name, _)| format!("{name} = ?")));
    let values = rest.iter().map(|(_, value)| *value).chain(values.iter().copied());
    let sql = format!("UPDATE {table} SET {taken} WHERE {wanted}");
    let rows = conn.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(rows > 0)
}

fn insertion<'a>(table: &str, count: usize, columns: impl Iterator<Item = &'a Column<'a>>) -> String {
    let names = joined(columns.map(|(name, _)| (*name).to_owned()));
    let places = joined(std::iter::repeat_n("?".to_owned(), count));
    format!("INSERT INTO {table} ({names}) VALUES ({places})")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn run<'a>(conn: &Connection, sql: &str, columns: impl Iterator<Item = &'a Column<'a>>) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(rusqlite::params_from_iter(columns.map(|(_, value)| *value)))
}
