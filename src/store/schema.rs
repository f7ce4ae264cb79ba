//! Connections to the database with the settings they need, and its migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::OpenError;

refinery::embed_migrations!("migrations");

/// How long to wait for a lock that another connection holds: only recovery and checkpoints take one.
const BUSY: Duration = Duration::from_secs(5);
/// When the log has so many pages, 16 MB, they are brought into the database file: a page that many commits changed is so
/// brought there once. One part of the log's index, which readers look into, has room for as many.
const LOG_PAGES: u32 = 4000;
/// How `SQLite` reports `synchronous=FULL`.
const FULL: i64 = 2;

/// The connection that writes. The file must exist: a database that went missing is not silently begun anew.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    if is_foreign(&conn)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    // SQLite answers with another mode, and no error, where the file system cannot have this one.
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Unfit { setting: "journal_mode", found: mode });
    }
    // NORMAL could lose the last commits in a power cut: a rotation that was sent and not recorded.
    conn.pragma_update(None, "synchronous", "FULL")?;
    let level: i64 = conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if level != FULL {
        return Err(OpenError::Unfit { setting: "synchronous", found: level.to_string() });
    }
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// A database of its own that ends with the connection; it spills to a temporary file when it grows.
pub(super) fn connect_scratch() -> Result<Connection, OpenError> {
    let mut conn = Connection::open("")?;
    prepare(&conn)?;
    conn.pragma_update(None, "journal_mode", "OFF")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    migrate(&mut conn)?;
    Ok(conn)
}

fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    // Statements are planned once, and not anew for other values.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")
}

/// Applies the migrations that are missing, all or none.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    if version(conn)? > Some(newest()) {
        return Err(OpenError::Newer { found: version(conn)?.unwrap_or_default(), known: newest() });
    }
    migrations::runner().set_grouped(true).run(conn)?;
    Ok(())
}

/// Writes down a new ledger's identity; an old ledger keeps its own.
pub(super) fn identify(conn: &Connection, new_ledger_id: [u8; 32]) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO ledger_identity (one, id) SELECT 1, ? WHERE NOT EXISTS (SELECT 1 FROM ledger_identity)",
        params![new_ledger_id],
    )
    .map(drop)
}

/// The database's version; none if it was never migrated.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<Option<u32>> {
    let known = conn
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |_| Ok(()))
        .optional()?;
    match known {
        Some(()) => conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0)),
        None => Ok(None),
    }
}

/// Whether the database has tables and was never migrated by this program.
fn is_foreign(conn: &Connection) -> rusqlite::Result<bool> {
    let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, u64>(0))?;
    Ok(tables > 0 && version(conn)?.is_none())
}

/// The version that this program writes.
pub(super) fn newest() -> u32 {
    let newest = migrations::runner().get_migrations().iter().map(|migration| migration.version()).max();
    newest.and_then(|version| u32::try_from(version).ok()).expect("the program embeds migrations, numbered from 1")
}

#[cfg(test)]
mod tests {
    use refinery::Target;

    use super::*;

    /// The tables whose rows a rotation writes, each step some.
    const OFTEN: [&str; 4] = ["ledger", "target", "rotation", "key"];

    fn database(version: i32) -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrations::runner().set_grouped(true).set_target(Target::Version(version)).run(&mut conn).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn
    }

    /// A table of its own for each list of words in a constraint, made for each row, was a sixth of the writer's time.
    #[test]
    fn no_row_takes_a_table_of_its_own_to_be_written() {
        let conn = connect_scratch().unwrap();
        for table in OFTEN {
            let mut info = conn.prepare("SELECT name FROM pragma_table_info(?)").unwrap();
            let columns = info.query_map([table], |row| row.get(0)).unwrap().collect::<rusqlite::Result<Vec<String>>>();
            let columns = columns.unwrap();
            let values = vec!["?"; columns.len()].join(", ");
            let sql = format!("EXPLAIN INSERT INTO {table} ({}) VALUES ({values})", columns.join(", "));
            let mut explained = conn.prepare(&sql).unwrap();
            let values = rusqlite::params_from_iter(&columns);
            let opcodes = explained.query_map(values, |row| row.get::<_, String>("opcode")).unwrap();
            let opcodes: Vec<String> = opcodes.collect::<rusqlite::Result<_>>().unwrap();
            assert!(!opcodes.iter().any(|opcode| opcode == "OpenEphemeral"), "{table}: {opcodes:?}");
        }
    }

    /// Promise: V8 says the rules in other words and refuses the same rows: those of each state, with one or two columns
    /// changed.
    #[test]
    fn the_same_rows_are_refused_as_before() {
        let (before, after) = (database(7), database(8));
        let words =
            ["'intended'", "'sending'", "'confirming'", "'done'", "'failed'", "'unconfirmed'", "'withdrawn'", "'x'"];
        let hows = ["NULL", "'rotated'", "'found_changed'", "'recovered'", "'x'"];
        let columns = [
            "state",
            "how",
            "key_before",
            "key_after",
            "intended_at",
            "sent_at",
            "accepted_at",
            "accepted",
            "ended_at",
            "stage",
            "failure",
            "retry_at",
            "why",
        ];
        let choices = |column: &str| match column {
            "state" => words.to_vec(),
            "how" => hows.to_vec(),
            "stage" => vec!["NULL", "'precheck'", "'put'", "'x'"],
            "failure" => vec!["NULL", "'{}'", "'{'"],
            "key_before" => vec!["NULL", "'a'"],
            "key_after" => vec!["NULL", "'a'", "'b'"],
            _ => vec!["NULL", "1"],
        };
        let good = [
            ["'intended'", "NULL", "'a'", "NULL", "1", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"],
            ["'sending'", "NULL", "'a'", "NULL", "1", "1", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"],
            ["'confirming'", "NULL", "'a'", "NULL", "1", "1", "1", "1", "NULL", "NULL", "NULL", "NULL", "NULL"],
            ["'done'", "'rotated'", "'a'", "'b'", "1", "1", "1", "1", "1", "NULL", "NULL", "NULL", "NULL"],
            ["'failed'", "NULL", "'a'", "NULL", "1", "1", "NULL", "NULL", "1", "'put'", "'{}'", "1", "NULL"],
            ["'unconfirmed'", "NULL", "'a'", "NULL", "1", "1", "1", "1", "1", "NULL", "'{}'", "1", "NULL"],
            ["'withdrawn'", "NULL", "'a'", "NULL", "1", "NULL", "NULL", "NULL", "1", "NULL", "NULL", "NULL", "'w'"],
        ];
        let mut taken = 0;
        let mut compare = |sql: &str| {
            let said = [&before, &after].map(|conn| {
                conn.execute_batch("SAVEPOINT row").unwrap();
                let written = conn.execute_batch(sql).is_ok();
                conn.execute_batch("ROLLBACK TO row; RELEASE row").unwrap();
                written
            });
            assert_eq!(said[0], said[1], "{sql}");
            taken += usize::from(said[0]);
        };
        let insertion = |attempt: usize, row: &[&str]| {
            format!(
                "INSERT INTO rotation (target, slot, attempt, actor, due_at, began_at, seq, {})
                 VALUES ('t', 1, {attempt}, 'schedule', 1, 1, 1, {});",
                columns.join(", "),
                row.join(", ")
            )
        };
        for row in good {
            for (one, column) in columns.iter().enumerate() {
                for (other, beside) in columns.iter().enumerate().skip(one) {
                    for value in choices(column) {
                        for second in choices(beside) {
                            let mut row = row;
                            (row[one], row[other]) = (value, second);
                            compare(&insertion(1, &row));
                        }
                    }
                }
            }
        }
        // One is open at a time, and one done for each slot.
        for (one, other) in good.iter().flat_map(|one| good.iter().map(move |other| (one, other))) {
            compare(&(insertion(1, one) + &insertion(2, other)));
        }
        for (how, rotation) in
            ["'first_seen'", "'foreign'", "'regression'", "'rotated'", "'found_changed'", "'recovered'", "'x'"]
                .into_iter()
                .flat_map(|how| [(how, "NULL"), (how, "'1.1'")])
        {
            let values = format!("('t', 1, 'a', 1, 1, {how}, {rotation}, 1)");
            compare(&format!(
                "INSERT INTO key (target, came_seq, id, first_seen, last_seen, how, rotation, seq) VALUES {values}"
            ));
        }
        assert!(taken > 100, "{taken}");
    }
}
