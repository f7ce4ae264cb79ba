//! A target's own place in a stretch of time: by hash and not by chance, so that fleets do not stampede and a plan made
//! twice is the same plan.

use sha2::{Digest, Sha256};

use crate::domain::{RotationId, Target, TargetId};

/// The target's place, in whole seconds from 0 up to and including `width`: the same for ever.
pub(super) fn place(target: &TargetId, width: u64) -> u64 {
    hash(&[b"rekeyd-spread-v1", target.as_str().as_bytes()]) % (width + 1)
}

/// The same, for whom the id would only be put together for this.
pub(super) fn place_of(target: &Target, width: u64) -> u64 {
    let (manager, project, cluster) = (&target.manager, &target.project_id, &target.cluster_id);
    let id = [manager.as_str(), "/", project.as_str(), "/", cluster.as_str()].map(str::as_bytes);
    let [manager, first, project, second, cluster] = id;
    hash(&[b"rekeyd-spread-v1", manager, first, project, second, cluster]) % (width + 1)
}

/// A fraction from 0 up to 1 that differs from attempt to attempt and from target to target: the jitter of a retry.
pub(super) fn jitter(target: &TargetId, rotation: RotationId) -> f64 {
    let hash = hash(&[
        b"rekeyd-jitter-v1",
        target.as_str().as_bytes(),
        &rotation.slot.to_be_bytes(),
        &rotation.attempt.to_be_bytes(),
    ]);
    // The upper 53 bits are what a double holds exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

fn hash(parts: &[&[u8]]) -> u64 {
    let digest = parts.iter().fold(Sha256::new(), Digest::chain_update).finalize();
    let (first, _) = digest.split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample::target;

    /// Or due times would move by who asks.
    #[test]
    fn a_target_has_the_place_of_its_id() {
        for width in [1, 59, 86_400, u64::MAX - 1] {
            assert_eq!(place_of(&target(), width), place(&target().id(), width));
        }
    }
}
