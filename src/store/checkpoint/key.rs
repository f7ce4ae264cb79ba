//! The key that signs checkpoints: an Ed25519 key in PKCS#8, as PEM. Made once, or given.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::note::{Checkpoint, VerifierKey};

/// The key file's name in the state directory.
pub const CHECKPOINT_KEY: &str = "checkpoint.key";
/// What stands before the 32 bytes of an Ed25519 key in PKCS#8, version 1 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Everyone but the owner, as bits of a file's mode.
const OTHERS: u32 = 0o077;

/// Signs checkpoints.
pub struct CheckpointKey(Ed25519KeyPair);

/// Why there is no key to sign checkpoints with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or not be made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error("{} is open to others than its owner; whoever read it could sign in the ledger's name: make a new key, by removing it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("the key for checkpoints is no Ed25519 key in PKCS#8 PEM; `openssl genpkey -algorithm ed25519` makes one")]
    Malformed,
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointKey([REDACTED])")
    }
}

impl CheckpointKey {
    /// Reads a key from PEM.
    ///
    /// # Errors
    /// If it is none of Ed25519 in PKCS#8.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        pair.map(Self).map_err(|_| KeyError::Malformed)
    }

    /// The key in a state directory. Without one, `seed`, 32 random bytes, becomes it, in a file closed to others.
    ///
    /// # Errors
    /// If the file cannot be read or made, is open to others, or holds something else.
    pub fn of_state_dir(state_dir: &Path, seed: [u8; 32]) -> Result<Self, KeyError> {
        if let Some(key) = Self::in_state_dir(state_dir)? {
            return Ok(key);
        }
        let pem = pem_of(seed);
        write(state_dir, &pem).map_err(|source| KeyError::File { path: state_dir.join(CHECKPOINT_KEY), source })?;
        Self::from_pem(&pem)
    }

    /// The key in a state directory; none if there is none yet.
    ///
    /// # Errors
    /// If the file cannot be read, is open to others, or holds something else.
    pub fn in_state_dir(state_dir: &Path) -> Result<Option<Self>, KeyError> {
        let path = state_dir.join(CHECKPOINT_KEY);
        let failed = |source| KeyError::File { path: path.clone(), source };
        match std::fs::read_to_string(&path) {
            Ok(pem) => {
                let mode = std::fs::metadata(&path).map_err(failed)?.permissions().mode();
                if mode & OTHERS != 0 {
                    return Err(KeyError::Open { path });
                }
                Self::from_pem(&pem).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Its public half, by the name of the ledger.
    pub(in super::super) fn verifier(&self, origin: &str) -> VerifierKey {
        let public = self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        VerifierKey::new(origin, public)
    }

    /// The checkpoint as a signed note.
    pub(super) fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let line = self.verifier(&checkpoint.origin).line(self.0.sign(text.as_bytes()).as_ref());
        format!("{text}\n{line}")
    }
}

/// Under another name first: a file with half a key must not be there at the next start.
fn write(state_dir: &Path, pem: &str) -> io::Result<()> {
    let unfinished = state_dir.join(format!("{CHECKPOINT_KEY}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, state_dir.join(CHECKPOINT_KEY))?;
    File::open(state_dir)?.sync_all()
}

fn pem_of(seed: [u8; 32]) -> String {
    let body = STANDARD.encode([&PKCS8[..], &seed].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}
