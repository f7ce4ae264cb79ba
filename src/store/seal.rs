//! Whether two sets of rows are the same, found by going through each once, in any order, and keeping none of them.
//!
//! A set's seal is the sum, modulo 2^64 in each of four lanes, of the SHA-256 of its rows behind a secret that is drawn for
//! this one comparison. Who wrote the rows did not know the secret, so sets that differ have the same seal by chance only:
//! one in 2^128. That they differ is all that it tells; which row it is, a comparison in order finds.

use std::io;
use std::thread;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

use super::unsettled::{Settled, Shapes, Table};

/// Seals of the two tables that grow with the ledger, as they are demanded.
pub(super) struct Seals {
    secret: [u8; 32],
    rotation: Seal,
    key: Seal,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seal([u64; 4]);

impl Seal {
    fn add(&mut self, bytes: &[u8]) {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        for (lane, eight) in self.0.iter_mut().zip(digest.as_chunks().0) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*eight));
        }
    }
}

impl Seals {
    pub(super) fn new() -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, rotation: Seal::default(), key: Seal::default(), bytes: Vec::new() })
    }

    /// Demands a row.
    pub(super) fn demand(&mut self, shapes: &Shapes, settled: &Settled) {
        let Settled { table, row } = settled;
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.secret);
        lay_out(&mut self.bytes, shapes, *table, |place| row.get(place));
        match table {
            Table::Rotation => self.rotation.add(&self.bytes),
            Table::Key => self.key.add(&self.bytes),
        }
    }

    /// Whether both tables hold exactly the rows that were demanded. Each table is read on a thread of its own;
    /// both connections see the same moment.
    pub(super) fn hold(&self, conn: &Connection, twin: Connection, shapes: &Shapes) -> rusqlite::Result<bool> {
        thread::scope(|scope| {
            let keys = scope.spawn(move || self.seal_of(&twin, shapes, Table::Key));
            let rotations = self.seal_of(conn, shapes, Table::Rotation);
            let keys = keys.join().expect("reading a table does not panic");
            Ok(rotations? == self.rotation && keys? == self.key)
        })
    }

    fn seal_of(&self, conn: &Connection, shapes: &Shapes, table: Table) -> rusqlite::Result<Seal> {
        let columns = shapes.columns(table).join(", ");
        let mut statement = conn.prepare(&format!("SELECT {columns} FROM {}", table.name()))?;
        let mut rows = statement.query([])?;
        let (mut seal, mut bytes) = (Seal::default(), Vec::new());
        while let Some(row) = rows.next()? {
            bytes.clear();
            bytes.extend_from_slice(&self.secret);
            lay_out(&mut bytes, shapes, table, |place| row.get_ref(place).unwrap_or(ValueRef::Null));
            seal.add(&bytes);
        }
        Ok(seal)
    }
}

/// Appends a row, each cell with its type and length, so that no two rows look alike. When a present key was last seen is
/// kept up to date without records: it is left out.
fn lay_out<'a>(bytes: &mut Vec<u8>, shapes: &Shapes, table: Table, cell: impl Fn(usize) -> ValueRef<'a>) {
    let untold = shapes.untold(table, |place| cell(place) == ValueRef::Null);
    for place in 0..shapes.columns(table).len() {
        match cell(place) {
            _ if untold == Some(place) => bytes.push(0),
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(number) => {
                bytes.push(1);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            ValueRef::Real(number) => {
                bytes.push(2);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            ValueRef::Text(text) => {
                bytes.push(3);
                bytes.extend_from_slice(&text.len().to_be_bytes());
                bytes.extend_from_slice(text);
            }
            ValueRef::Blob(blob) => {
                bytes.push(4);
                bytes.extend_from_slice(&blob.len().to_be_bytes());
                bytes.extend_from_slice(blob);
            }
        }
    }
}
