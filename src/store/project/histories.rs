//! The two tables that grow with the ledger, rotations and keys: as the writer's database has them, or as a replay does.

use rusqlite::{Connection, ToSql};

use super::super::sql::{Column, insert, update, update_where};
use super::key::write_last_seen;
use crate::domain::{RotationId, TargetId, TargetRecord};

/// Where rows of rotations and keys are made and moved.
pub(in super::super) trait Histories {
    /// Adds a rotation's row.
    fn begin_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<()>;

    /// Writes over these columns of a rotation's row, and says whether there is one.
    fn move_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<bool>;

    /// Adds the row of a key that the target takes into use.
    fn add_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()>;

    /// Writes over these columns of the present key's row, if there is one.
    fn change_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()>;

    /// Notes that the present key was last seen as the record says.
    fn see_key(&self, target: &TargetId, record: &TargetRecord) -> rusqlite::Result<()>;
}

impl Histories for Connection {
    fn begin_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let RotationId { slot, attempt } = id;
        let key: [Column<'_>; 3] = [("target", &target.as_str()), ("slot", &slot), ("attempt", &attempt)];
        insert(self, "rotation", &[&key, columns].concat())
    }

    fn move_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<bool> {
        let RotationId { slot, attempt } = id;
        let key: [Column<'_>; 3] = [("target", &target.as_str()), ("slot", &slot), ("attempt", &attempt)];
        update(self, "rotation", &key, columns)
    }

    fn add_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let key: [Column<'_>; 1] = [("target", &target.as_str())];
        insert(self, "key", &[&key, columns].concat())
    }

    fn change_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let key: [&dyn ToSql; 1] = [&target.as_str()];
        // The index of present keys is only for a condition that says NULL itself.
        update_where(self, "key", "target = ? AND replaced_at IS NULL", &key, columns).map(drop)
    }

    fn see_key(&self, target: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
        write_last_seen(self, target, record)
    }
}
