//! The rows of rotations and keys that a replay still may change. One that nothing can change any more is settled, and leaves.
//!
//! So a replay of millions of records holds a few rows for each target.

use std::cell::RefCell;

use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
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
pub(super) struct Row {
    cells: Vec<Cell>,
    /// Every text and blob that was ever written into it.
    bytes: Vec<u8>,
}

/// A value; of a text or blob, from where to where it stands.
#[derive(Clone, Copy)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(usize, usize),
    Blob(usize, usize),
}

/// The columns of the two tables, as the migrations made them; without those that the database computes.
pub(super) struct Shapes {
    rotation: Vec<String>,
    key: Vec<String>,
    last_seen: usize,
    replaced_at: usize,
}

/// A row that no later event can change.
pub(super) struct Settled {
    pub(super) table: Table,
    pub(super) row: Row,
}

/// The rows of one target that still may change.
#[derive(Default)]
pub(super) struct OfTarget {
    key: Option<Row>,
    rotations: Vec<(RotationId, Row)>,
}

/// The same while an entry about the target is followed; what it settles goes to the others that are.
pub(super) struct Unsettled<'a> {
    shapes: &'a Shapes,
    of: RefCell<&'a mut OfTarget>,
    settled: RefCell<&'a mut Vec<Settled>>,
}

impl Row {
    /// The value at a place.
    pub(super) fn get(&self, place: usize) -> ValueRef<'_> {
        let bytes = |from, to| self.bytes.get(from..to).expect("a cell names bytes of its own row");
        match self.cells.get(place).copied() {
            None | Some(Cell::Null) => ValueRef::Null,
            Some(Cell::Integer(number)) => ValueRef::Integer(number),
            Some(Cell::Real(number)) => ValueRef::Real(number),
            Some(Cell::Text(from, to)) => ValueRef::Text(bytes(from, to)),
            Some(Cell::Blob(from, to)) => ValueRef::Blob(bytes(from, to)),
        }
    }

    /// All values, in order.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = ValueRef<'_>> {
        (0..self.cells.len()).map(|place| self.get(place))
    }

    fn set(&mut self, place: usize, value: &dyn ToSql) -> rusqlite::Result<()> {
        let made = value.to_sql()?;
        let value = match &made {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => value.into(),
            _ => return Err(rusqlite::Error::ToSqlConversionFailure("no plain value".into())),
        };
        let mut keep = |bytes: &[u8]| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            (from, self.bytes.len())
        };
        let new = match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(text) => {
                let (from, to) = keep(text);
                Cell::Text(from, to)
            }
            ValueRef::Blob(blob) => {
                let (from, to) = keep(blob);
                Cell::Blob(from, to)
            }
        };
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = new;
        }
        Ok(())
    }
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
        columns.iter().try_for_each(|(name, value)| row.set(place(self.columns(table), name)?, *value))
    }

    fn blank(&self, table: Table, columns: &[Column<'_>]) -> rusqlite::Result<Row> {
        let cells = vec![Cell::Null; self.columns(table).len()];
        let mut row = Row { cells, bytes: Vec::with_capacity(TEXTS) };
        self.write(table, &mut row, columns)?;
        Ok(row)
    }
}

/// Room for the texts of a rotation that went well, in bytes.
const TEXTS: usize = 256;

fn place(columns: &[String], column: &str) -> rusqlite::Result<usize> {
    // Letter by letter: to call a comparison of so few takes longer.
    let place = columns.iter().position(|name| name.len() == column.len() && name.bytes().eq(column.bytes()));
    place.ok_or_else(|| rusqlite::Error::InvalidColumnName(column.to_owned()))
}

impl OfTarget {
    /// Settles what is left, as it is: there are no more records.
    pub(super) fn settle_all(&mut self, settled: &mut Vec<Settled>) {
        settled.extend(self.rotations.drain(..).map(|(_, row)| Settled { table: Table::Rotation, row }));
        settled.extend(self.key.take().map(|row| Settled { table: Table::Key, row }));
    }
}

impl<'a> Unsettled<'a> {
    pub(super) fn of(target: &'a mut OfTarget, shapes: &'a Shapes, settled: &'a mut Vec<Settled>) -> Self {
        Self { shapes, of: RefCell::new(target), settled: RefCell::new(settled) }
    }

    /// Settles those of the target's rotations that its record does not know any more: no event can move them.
    pub(super) fn settle(self, record: &TargetRecord) {
        let known = |id: RotationId| {
            record.rotation.as_ref().is_some_and(|open| open.id == id)
                || record.unconfirmed.as_ref().is_some_and(|resting| resting.rotation == id)
        };
        let past = self.of.into_inner().rotations.extract_if(.., |(id, _)| !known(*id));
        self.settled.into_inner().extend(past.map(|(_, row)| Settled { table: Table::Rotation, row }));
    }
}

impl Histories for Unsettled<'_> {
    fn begin_rotation(&self, target: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let mut row = self.shapes.blank(Table::Rotation, columns)?;
        let key: [Column<'_>; 3] = [("target", &target.as_str()), ("slot", &id.slot), ("attempt", &id.attempt)];
        self.shapes.write(Table::Rotation, &mut row, &key)?;
        self.of.borrow_mut().rotations.push((id, row));
        Ok(())
    }

    fn move_rotation(&self, _: &TargetId, id: RotationId, columns: &[Column<'_>]) -> rusqlite::Result<bool> {
        match self.of.borrow_mut().rotations.iter_mut().find(|(known, _)| *known == id) {
            Some((_, row)) => self.shapes.write(Table::Rotation, row, columns).map(|()| true),
            None => Ok(false),
        }
    }

    fn add_key(&self, target: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let mut row = self.shapes.blank(Table::Key, columns)?;
        self.shapes.write(Table::Key, &mut row, &[("target", &target.as_str())])?;
        let past = self.of.borrow_mut().key.replace(row);
        self.settled.borrow_mut().extend(past.map(|row| Settled { table: Table::Key, row }));
        Ok(())
    }

    fn change_key(&self, _: &TargetId, columns: &[Column<'_>]) -> rusqlite::Result<()> {
        let mut of = self.of.borrow_mut();
        of.key.as_mut().map_or(Ok(()), |row| self.shapes.write(Table::Key, row, columns))
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
        let value = self.settled.row.get(place);
        T::column_result(value)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(place, value.data_type(), error.into()))
    }
}
