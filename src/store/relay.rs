//! Goes through the ledger on several threads: each reads and checks its share of the pages, and the caller's puts them together
//! and works on what holds.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::page::{Page, RECORDS};
use super::schema;
use super::verify::VerifyError;
use super::walk::{Linked, Walk};

/// As many readers at most: the caller's thread is busy with what fewer read.
const READERS: usize = 4;
/// So many pages of each reader may wait.
const WAITING: usize = 3;

/// Goes along the records behind `walk` up to number `last`, and shows `each` page of those that hold, in order.
///
/// The first record that does not hold ends it, after those before it were shown.
pub(super) fn relay(
    path: &Path,
    walk: &mut Walk,
    last: u64,
    mut each: impl FnMut(&Page) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    let after = walk.head.seq;
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..readers as u64)
            .map(|reader| {
                let (show, shown) = sync_channel(WAITING);
                let pages = (after + reader * RECORDS..last).step_by(readers * RECORDS as usize);
                scope.spawn(move || read(path, pages, last, &show));
                shown
            })
            .collect();
        // Page follows on page from reader to reader. So the first reader without a further one ends it for all.
        for lane in lanes.iter().cycle() {
            let Ok(linked) = lane.recv() else { break };
            let mut linked = linked?;
            let held = walk.take(&mut linked);
            each(&linked.page)?;
            held?;
        }
        Ok(())
    })
}

/// Reads and checks the page behind each of these records, until nobody takes them any more.
fn read(path: &Path, pages: impl Iterator<Item = u64>, last: u64, show: &SyncSender<rusqlite::Result<Linked>>) {
    let all = || {
        let conn = schema::connect_read_only(path)?;
        for after in pages {
            let page = Page::read(&conn, after, last.min(after + RECORDS))?;
            if show.send(Ok(Linked::check(page))).is_err() {
                break;
            }
        }
        Ok(())
    };
    if let Err(error) = all() {
        // The receiver may have stopped before; then nobody needs the error.
        let _ = show.send(Err(error));
    }
}
