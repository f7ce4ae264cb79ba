//! Signed checkpoints: the ledger's head, anchored outside of the ledger.
//!
//! A chain cannot show that its tail was cut off, or that all of it was written anew. A head that was signed and kept
//! elsewhere can. [`note`] is the form, [`read`] the way through many of them, [`key`] who signs, [`keeper`] the file and what
//! happens when it cannot be written.

mod keeper;
mod key;
mod note;
mod read;

pub(super) use keeper::Keeper;
pub use keeper::{Keeping, signed_by_file};
pub use key::{CHECKPOINT_KEY, CheckpointKey, KeyError};
pub use note::{Checkpoint, MalformedKey, VerifierKey, origin_of};
pub use read::{Checkpoints, CheckpointsError, parse_checkpoints};

/// The checkpoint file's name, if it lies in the state directory.
pub const CHECKPOINTS: &str = "checkpoints";

#[cfg(test)]
mod tests;
