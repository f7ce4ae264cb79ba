//! Has the database look at itself, beside whoever walks its records: pages, the rows that each index knows, constraints.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rusqlite::InterruptHandle;

use super::schema;
use super::verify::VerifyError;

/// How often the caller is asked whether it still wants to wait.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// `SQLite`'s own check on a thread and a connection of its own. It ends when this is dropped.
pub(super) struct IntegrityCheck {
    said: Receiver<rusqlite::Result<String>>,
    interrupt: InterruptHandle,
}

impl IntegrityCheck {
    pub(super) fn begin(path: &Path) -> rusqlite::Result<Self> {
        let conn = schema::connect_read_only(path)?;
        let interrupt = conn.get_interrupt_handle();
        let (say, said) = sync_channel(1);
        thread::spawn(move || {
            let found = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
            // Nobody listens any more if the walk found something before.
            let _ = say.send(found);
        });
        Ok(Self { said, interrupt })
    }

    /// Waits for what it finds: the first thing that is wrong, if there is one.
    pub(super) fn finish(self, mut wanted: impl FnMut() -> ControlFlow<()>) -> Result<Option<String>, VerifyError> {
        loop {
            match self.said.recv_timeout(ASKED_EVERY) {
                Ok(found) => return Ok(Some(found?).filter(|found| found != "ok")),
                Err(RecvTimeoutError::Timeout) if wanted().is_break() => return Err(VerifyError::BrokenOff),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the thread says what it found before it ends"),
            }
        }
    }
}

impl Drop for IntegrityCheck {
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}
