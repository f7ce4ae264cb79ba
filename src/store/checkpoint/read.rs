//! Reads checkpoints that stand one after another, and holds one at a time: their file grows with the ledger.

use std::io::{self, BufRead, Read};

use super::note::{Checkpoint, checkpoint, is_signature, signature};

/// No line of a checkpoint is so long.
const LONGEST_LINE: u64 = 16 << 10;

/// Why checkpoints cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointsError {
    /// Something else stands between them.
    #[error("line {line} belongs to no checkpoint")]
    Malformed {
        /// Where it shows, from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checkpoints one after another. What follows the last whole one may be one whose writing was cut off, in the middle of a
/// letter even; it is passed over.
pub struct Checkpoints<R> {
    source: R,
    /// So many bytes were read.
    at: u64,
    /// So many of them are checkpoints, and what stands between them.
    whole: u64,
    /// The number of the line that was read last, and of the first of the note.
    line: usize,
    begins: usize,
    note: Note,
}

/// The note that is being read.
enum Note {
    /// The lines so far.
    Text(Vec<String>),
    /// Its blank line was read: its text, and the signatures so far.
    Signatures(Vec<String>, Vec<(String, Vec<u8>)>),
}

impl<R: BufRead> Checkpoints<R> {
    /// Those in a file or a text.
    pub fn of(source: R) -> Self {
        Self { source, at: 0, whole: 0, line: 0, begins: 1, note: Note::Text(Vec::new()) }
    }

    /// Once all are read: so many bytes hold them and what stands between them, and whether others follow.
    pub fn whole(&self) -> (u64, bool) {
        (self.whole, self.at > self.whole)
    }

    fn read(&mut self) -> Result<Option<Checkpoint>, CheckpointsError> {
        loop {
            let mut bytes = Vec::new();
            let before = self.at;
            self.at += self.source.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? as u64;
            self.line += 1;
            let Some(content) = bytes.strip_suffix(b"\n") else {
                // The end, or what was cut off there.
                return match std::mem::replace(&mut self.note, Note::Text(Vec::new())) {
                    _ if bytes.len() as u64 == LONGEST_LINE => Err(CheckpointsError::Malformed { line: self.line }),
                    Note::Signatures(text, signatures) if !signatures.is_empty() => {
                        self.finish(&text, signatures, before).map(Some)
                    }
                    Note::Signatures(..) | Note::Text(_) => Ok(None),
                };
            };
            let content = std::str::from_utf8(content).map_err(|_| CheckpointsError::Malformed { line: self.line })?;
            match &mut self.note {
                Note::Signatures(_, signatures) if is_signature(content) => match signature(content) {
                    Some(signature) => signatures.push(signature),
                    None => return Err(CheckpointsError::Malformed { line: self.line }),
                },
                Note::Signatures(text, signatures) => {
                    let (text, signatures) = (std::mem::take(text), std::mem::take(signatures));
                    self.note = Note::Text(Vec::new());
                    let done = self.finish(&text, signatures, before)?;
                    self.take(content);
                    return Ok(Some(done));
                }
                Note::Text(_) => self.take(content),
            }
        }
    }

    /// Takes in a line of a note's text, or the blank line below it, or one between two notes.
    fn take(&mut self, content: &str) {
        let Note::Text(text) = &mut self.note else { return };
        if !content.is_empty() {
            if text.is_empty() {
                self.begins = self.line;
            }
            text.push(content.to_owned());
        } else if text.is_empty() {
            self.whole = self.at;
        } else {
            self.note = Note::Signatures(std::mem::take(text), Vec::new());
        }
    }

    /// The checkpoint that ends before byte `end`.
    fn finish(
        &mut self,
        text: &[String],
        signatures: Vec<(String, Vec<u8>)>,
        end: u64,
    ) -> Result<Checkpoint, CheckpointsError> {
        self.whole = end;
        checkpoint(text, signatures).ok_or(CheckpointsError::Malformed { line: self.begins })
    }
}

impl<R: BufRead> Iterator for Checkpoints<R> {
    type Item = Result<Checkpoint, CheckpointsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// All checkpoints in a text, and so many bytes as they take with what stands between them.
///
/// # Errors
/// If something else stands between them.
pub fn parse_checkpoints(bytes: &[u8]) -> Result<(Vec<Checkpoint>, usize), CheckpointsError> {
    let mut all = Checkpoints::of(bytes);
    let found = all.by_ref().collect::<Result<_, _>>()?;
    let (whole, _) = all.whole();
    Ok((found, usize::try_from(whole).expect("no more bytes were read than there are")))
}
