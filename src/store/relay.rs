//! Goes through the ledger on three threads: one reads, one checks the chain, and the caller's works on what holds.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::page::Page;
use super::schema;
use super::verify::VerifyError;
use super::walk::Walk;

/// So many pages are on their way.
const PAGES: usize = 6;

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
    let (empty, blanks) = sync_channel(PAGES);
    (0..PAGES).try_for_each(|_| empty.send(Page::default())).expect("the other end is here, and has room");
    let (full, read) = sync_channel(PAGES);
    let (good, checked) = sync_channel(PAGES);
    thread::scope(|scope| {
        let reading = scope.spawn(move || read_all(path, after, last, &blanks, &full));
        let checking = scope.spawn(move || check_all(walk, &read, &good));
        let mut worked = Ok(());
        while let (Ok(()), Ok(page)) = (&worked, checked.recv()) {
            worked = each(&page);
            // Nobody wants it any more when all is read.
            let _ = empty.send(page);
        }
        // What the others still send has no taker, and they end.
        drop((checked, empty));
        let chain = checking.join().expect("checking a chain does not panic");
        let ledger = reading.join().expect("reading a ledger does not panic");
        worked.and(chain).and(ledger)
    })
}

fn read_all(
    path: &Path,
    mut after: u64,
    last: u64,
    blanks: &Receiver<Page>,
    full: &SyncSender<Page>,
) -> Result<(), VerifyError> {
    let conn = schema::connect_read_only(path)?;
    while let Ok(mut page) = blanks.recv() {
        page.fill(&conn, after, last)?;
        let Some(seq) = page.last_seq() else { break };
        after = seq;
        if full.send(page).is_err() {
            break;
        }
    }
    Ok(())
}

fn check_all(walk: &mut Walk, read: &Receiver<Page>, good: &SyncSender<Page>) -> Result<(), VerifyError> {
    for mut page in read {
        let held =
            page.records().try_fold(0, |held, record| walk.take(&record).map(|()| held + 1).map_err(|why| (held, why)));
        if let Err((held, _)) = held {
            page.truncate(held);
        }
        if good.send(page).is_err() {
            break;
        }
        held.map_err(|(_, why)| why)?;
    }
    Ok(())
}
