//! Choices about the ledger that the configuration makes and the store carries out.

/// What is to happen while the checkpoint file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OnCheckpointFailure {
    /// Say so, and go on: the ledger itself is whole.
    Warn,
    /// Take no record in, and so send no PUT, until it can be written again.
    Block,
}

impl OnCheckpointFailure {
    /// The configuration's word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
