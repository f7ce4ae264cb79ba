//! Connections to the database with the settings they need, and its migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::OpenError;

refinery::embed_migrations!("migrations");

/// How long to wait for a lock that another connection holds: only recovery and checkpoints take one.
const BUSY: Duration = Duration::from_secs(5);
/// How `SQLite` reports `synchronous=FULL`.
const FULL: i64 = 2;

/// The connection that writes. The file must exist: a database that went missing is not silently begun anew.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    prepare(&conn)?;
    // SQLite answers with another mode, and no error, where the file system can not have this one.
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
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(conn)
}

/// A connection that can not write.
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

/// The version that this program writes.
pub(super) fn newest() -> u32 {
    let newest = migrations::runner().get_migrations().iter().map(|migration| migration.version()).max();
    newest.and_then(|version| u32::try_from(version).ok()).expect("the program embeds migrations, numbered from 1")
}
