//! The rows of rotations and keys that a replay still may change. One that nothing can change any more is settled, and leaves.
//!
//! So a replay of millions of records holds a few rows for each target.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use rusqlite::types::{FromSql, ToSqlOutput, Value};
use rusqlite::{Connection, ToSql};

use super::columns::{Columns, Micros};
use super::project::Histories;
use super::sql::Column;
use crate::domain::{RotationId, TargetId, TargetRecord};

/// The tables that grow with the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Rotation,
    Key,
}

/// A row, in the order of its table's columns.
pub(super) type Row = Vec<Value>;

/// The columns of the two tables, as the migrations made them; without those that the database computes.
pub(super) struct Shapes {
    rotation: Vec<String>,
    key: Vec<String>,
    last_seen: usize,
    replaced_at: usize,
}

/// A row that is what it will be.
pub(super) struct Settled {
    pub(super) table: Table,
    pub(super) row: Row,
}

/// See the file.
pub(super) struct Unsettled {
    pub(super) shapes: Shapes,
    targets: RefCell<HashMap<TargetId, OfTarget>>,
    settled: RefCell<Vec<Settled>>,
}

#[derive(Default)]
struct OfTarget {
    key: Option<Row>,
    rotations: Vec<(RotationId, Row)>,
}

impl Table {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Key => "key",
        }
    }
}

impl Shapes {
    pub(super) fn of(conn: &Connection) -> rusqlite::Result<Self> {
        let columns = |table: Table| {
            conn.prepare("SELECT name FROM pragma_table_info(?)")?
                .query_map([table.name()], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()
        };
        let (rotation, key) = (columns(Table::Rotation)?, columns(Table::Key)?);
        let (last_seen, replaced_at) = (place(&key, "last_seen")?, place(&key, "replaced_at")?);
        Ok(Self { rotation, key, last_seen, replaced_at })
    }

    pub(super) fn columns(&self, table: Table) -> &[String] {
        match table {
            Table::Rotation => &self.rotation,
            Table::Key => &self.key,
        }
    }

    /// Where the column stands that no record tells, given which places of the row are empty: when a key that is present was
    /// last seen.
    pub(super) fn untold(&self, table: Table, empty: impl Fn(usize) -> bool) -> Option<usize> {
        (table == Table::Key && empty(self.replaced_at)).then_some(self.last_seen)
    }

    fn write(&self, table: Table, row: &mut Row, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        for (name, value) in columns {
            let place = place(self.columns(table), name)?;
            if let Some(cell) = row.get_mut(place) {
                *cell = owned(*value)?;
            }
        }
        Ok(())
    }

    fn blank(&self, table: Table, columns: &[Column<'_>]) -> rusqlite::Result<Row> {
        let mut row = vec![Value::Null; self.columns(table).len()];
        self.write(table, &mut row, columns)?;
        Ok(row)
    }
}

fn place(columns: &[String], column: &str) -> rusqlite::Result<usize> {
    let place = columns.iter().position(|name| name == column);
    place.ok_or_else(|| rusqlite::Error::InvalidColumnName(column.to_owned()))
}

fn owned(value: &dyn ToSql) -> rusqlite::Result<Value> {
    match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => {
            Value::column_result(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
        }
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("no plain value".into())),
    }
}

impl Unsettled {
    pub(super) fn new(shapes: Shapes) -> Self {
        Self { shapes, targets: RefCell::default(), settled: RefCell::default() }
    }

    /// Settles those of the target's rotations that its record does not know any more: no event can move them.
    pub(super) fn settle(&self, target: &TargetId, record: &TargetRecord) {
        let known = |id: RotationId| {
            record.rotation.as_ref().is_some_and(|open| open.id == id)
                || record.unconfirmed.as_ref().is_some_and(|resting| resting.rotation == id)
        };
        if let Some(of) = self.targets.borrow_mut().get_mut(target) {
            let past = of.rotations.extract_if(.., |(id, _)| !known(*id));
            self.settled.borrow_mut().extend(past.map(|(_, row)| Settled { table: Table::Rotation, row }));
        }
    }

    /// Settles what is left, as it is, in the order of targets: there are no more records.
    pub(super) fn settle_all(&self) {
        let mut settled = self.settled.borrow_mut();
        let targets: BTreeMap<TargetId, OfTarget> = self.targets.take().into_iter().collect();
        for of in targets.into_values() {
            settled.extend(of.rotations.into_iter().map(|(_, row)| Settled { table: Table::Rotation, row }));
            settled.extend(of.key.map(|row| Settled { table: Table::Key, row }));
        }
    }

    /// Those that were settled since this was last asked.
    pub(super) fn take_settled(&self) -> Vec<Settled> {
        self.settled.take()
    }

    fn with<T>(&self, target: &TargetId, work: impl FnOnce(&mut OfTarget) -> T) -> T {
        let mut targets = self.targets.borrow_mut();
        match targets.get_mut(target) {
            Some(of) => work(of),
            None => work(targets.entry(target.clone()).or_default()),
        }
    }
}

impl Histories for Unsettled {
    fn begin_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let mut row = self.shapes.blank(Table::Rotation, columns)?;
        let key: [Column<'_>; 3] = [("target", &target.as_str()), ("slot", &id.slot), ("attempt", &id.attempt)];
        self.shapes.write(Table::Rotation, &mut row, &key)?;
        self.with(target, |of| of.rotations.push((id, row)));
        Ok(())
    }

    fn move_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<bool> {
        self.with(target, |of| match of.rotations.iter_mut().find(|(known, _)| *known == id) {
            Some((_, row)) => self.shapes.write(Table::Rotation, row, columns).map(|()| true),
            None => Ok(false),
        })
    }

    fn add_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let mut row = self.shapes.blank(Table::Key, columns)?;
        self.shapes.write(Table::Key, &mut row, &[("target", &target.as_str())])?;
        if let Some(row) = self.with(target, |of| of.key.replace(row)) {
            self.settled.borrow_mut().push(Settled { table: Table::Key, row });
        }
        Ok(())
    }

    fn change_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        self.with(target, |of| of.key.as_mut().map_or(Ok(()), |row| self.shapes.write(Table::Key, row, columns)))
    }

    fn see_key(&self, target: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
        let Some(key) = &record.key else { return Ok(()) };
        self.change_key(target, &[("last_seen", &Micros(key.last_seen))])
    }
}

/// A row as its table's columns can be asked for by name.
pub(super) struct Cells<'a> {
    pub(super) shapes: &'a Shapes,
    pub(super) settled: &'a Settled,
}

impl Columns for Cells<'_> {
    fn get<T: FromSql>(&self, column: &str) -> rusqlite::Result<T> {
        let place = place(self.shapes.columns(self.settled.table), column)?;
        let value = self.settled.row.get(place).unwrap_or(&Value::Null);
        T::column_result(value.into())
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(place, value.data_type(), error.into()))
    }
}
