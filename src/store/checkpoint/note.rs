//! The form of a checkpoint: C2SP [tlog-checkpoint](https://c2sp.org/tlog-checkpoint) in a
//! [signed note](https://c2sp.org/signed-note), and the text form of the public key that verifies it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::ports::Head;

/// How a signed note names Ed25519, in a key's text and in its id.
const ALGORITHM: u8 = 1;
/// A signature line begins with an em dash and a blank.
const DASH: &str = "\u{2014} ";

/// The first line of every checkpoint of a ledger, and the name of its keys: from the ledger's id.
pub fn origin_of(ledger_id: &[u8; 32]) -> String {
    format!("rekeyd/ledger/{}", crate::domain::hex(ledger_id))
}

/// A public key, in the text form of a signed note: `name+id+key`, the id in hexadecimal, the key in Base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// A text that is no verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no verifier key of Ed25519, name+id+key: {0:?}")]
pub struct MalformedKey(String);

impl VerifierKey {
    pub(super) fn new(name: &str, public: [u8; 32]) -> Self {
        Self { name: name.to_owned(), public }
    }

    /// What tells it apart from others of the same name.
    fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ALGORITHM]);
        hash.update(self.public);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }

    /// The signature line for a signature by this key.
    pub(super) fn line(&self, signature: &[u8]) -> String {
        format!("{DASH}{} {}\n", self.name, STANDARD.encode([&self.id(), signature].concat()))
    }

    /// Whether a checkpoint bears its signature.
    pub fn signed(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.signatures.iter().any(|(name, bytes)| {
            let Some((id, signature)) = bytes.split_first_chunk() else { return false };
            *name == self.name
                && *id == self.id()
                && UnparsedPublicKey::new(&ED25519, self.public).verify(checkpoint.text().as_bytes(), signature).is_ok()
        })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode([&[ALGORITHM][..], &self.public].concat()))
    }
}

impl FromStr for VerifierKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let read = || {
            // Base64 has plus signs too.
            let mut parts = text.trim().splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
            let bytes = STANDARD.decode(key).ok()?;
            let (&ALGORITHM, public) = bytes.split_first()? else { return None };
            let key = Self { name: name.to_owned(), public: public.try_into().ok()? };
            (format!("{:08x}", u32::from_be_bytes(key.id())) == id && !name.is_empty()).then_some(key)
        };
        read().ok_or_else(|| MalformedKey(text.to_owned()))
    }
}

/// One checkpoint: what was the ledger's head, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// Its head at that time.
    pub head: Head,
    /// Lines behind the three that are ours; others may have added them.
    extensions: Vec<String>,
    /// The names of keys, each with a key's id and its signature.
    signatures: Vec<(String, Vec<u8>)>,
}

impl Checkpoint {
    pub(super) fn of(origin: &str, head: &Head) -> Self {
        Self { origin: origin.to_owned(), head: head.clone(), extensions: Vec::new(), signatures: Vec::new() }
    }

    /// What is signed.
    pub(super) fn text(&self) -> String {
        let root = STANDARD.encode(self.head.hash);
        let mut text = format!("{}\n{}\n{root}\n", self.origin, self.head.seq);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The whole signed note again.
    pub fn to_note(&self) -> String {
        let lines = self.signatures.iter().map(|(name, bytes)| format!("{DASH}{name} {}\n", STANDARD.encode(bytes)));
        self.text() + "\n" + &lines.collect::<String>()
    }
}

/// Reads the text of a note, without its blank line, and the signatures below it.
pub(super) fn checkpoint(text: &[String], signatures: Vec<(String, Vec<u8>)>) -> Option<Checkpoint> {
    let [origin, seq, root, extensions @ ..] = text else { return None };
    let hash = STANDARD.decode(root).ok()?.try_into().ok()?;
    let head = Head { seq: seq.parse().ok()?, hash };
    let whole = !signatures.is_empty();
    whole.then(|| Checkpoint { origin: origin.clone(), head, extensions: extensions.to_vec(), signatures })
}

/// Whether a line is one of a signature.
pub(super) fn is_signature(line: &str) -> bool {
    line.starts_with(DASH)
}

/// Reads the line of a signature: the key's name, and the key's id with the signature.
pub(super) fn signature(line: &str) -> Option<(String, Vec<u8>)> {
    let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
    Some((name.to_owned(), STANDARD.decode(bytes).ok()?))
}
