//! Choices about the ledger that the configuration makes and the store carries out.

/// What is to happen while the checkpoint file can not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnCheckpointFailure {
    /// Say so, and go on: the ledger itself is whole.
    Warn,
    /// Take no record in, and so send no PUT, until it can be written again.
    Block,
}

impl OnCheckpointFailure {
    /// The configuration's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}
