//! Who signed the checkpoints, and whether the key was in use then. Whom to believe, others decide.

use super::verify::Broken;
use super::{Checkpoint, VerifierKey};

/// A key that signed checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The key.
    pub key: VerifierKey,
    /// The record that names it.
    pub named: u64,
    /// How many checkpoints it signed.
    pub checkpoints: u64,
    /// The newest record that one of them names.
    pub newest: u64,
}

/// Each checkpoint must be signed by the key that was in use at its record: from the record that names it, which may be the last
/// that its predecessor signed. `keys` are what the ledger names, in order.
pub(super) fn check_signatures(
    checkpoints: &[Checkpoint],
    keys: &[(u64, VerifierKey)],
) -> Result<Vec<SignedBy>, Broken> {
    let ends = keys.iter().skip(1).map(|(named, _)| *named).chain([u64::MAX]);
    let terms: Vec<_> = keys.iter().zip(ends).map(|((named, key), end)| (*named..=end, key)).collect();
    let mut signed_by: Vec<SignedBy> = Vec::new();
    for checkpoint in checkpoints {
        let seq = checkpoint.head.seq;
        let in_use = terms.iter().rev().find(|(term, key)| term.contains(&seq) && key.signed(checkpoint));
        let Some((term, key)) = in_use else {
            let why = match keys.iter().find(|(_, key)| key.signed(checkpoint)) {
                Some((named, _)) if *named > seq => {
                    format!("has a checkpoint that is signed by a key which only record {named} names")
                }
                Some(_) => "has a checkpoint that is signed by a key whose successor was named before".to_owned(),
                None => "has a checkpoint that is not signed by a key that the ledger names".to_owned(),
            };
            return Err(Broken { seq, why });
        };
        match signed_by.iter_mut().find(|signed| signed.key == **key) {
            Some(signed) => (signed.checkpoints, signed.newest) = (signed.checkpoints + 1, signed.newest.max(seq)),
            None => signed_by.push(SignedBy { key: (*key).clone(), named: *term.start(), checkpoints: 1, newest: seq }),
        }
    }
    Ok(signed_by)
}
