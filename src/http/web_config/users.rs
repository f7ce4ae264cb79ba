//! Basic authentication against bcrypt hashes. Neither time nor load tells which users exist.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use bcrypt::HashParts;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::WebConfigError;

/// How many hashes are computed at once: each holds a core for a tenth of a second or longer.
const AT_ONCE: usize = 2;

/// How many verified passwords are remembered: one for each user, of whom there are few.
const REMEMBERED: usize = 64;

/// The end of a bcrypt hash that the password of an unknown user is compared with, and refused in any case.
const NOBODY: &str = "X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
/// The cost of a hash if there are no users to take it from.
const COST: u32 = 10;

/// With its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The users of the file.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// The hash for unknown users: it costs as much as the most expensive of the others.
    nobody: String,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self, WebConfigError> {
        let mut cost = None;
        for (user, hash) in &hashes {
            let parts: HashParts = hash.parse().map_err(|_| WebConfigError::User(user.clone()))?;
            cost = cost.max(Some(parts.get_cost()));
        }
        let nobody = format!("$2y${:02}${NOBODY}", cost.unwrap_or(COST));
        Ok(Self { hashes, nobody })
    }

    /// Whether everyone may ask.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The name and the password that a request brings, and what the password must match.
    fn claim<'a>(&'a self, headers: &HeaderMap) -> Option<Claim<'a>> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let bytes = BASE64.decode(encoded.trim()).ok()?;
        let at = bytes.iter().position(|byte| *byte == b':')?;
        let (name, password) = bytes.split_at(at);
        let hash = std::str::from_utf8(name).ok().and_then(|name| self.hashes.get(name));
        let password = password.get(1..).unwrap_or_default().to_vec();
        Some(Claim { name: name.to_vec(), password, hash: hash.map(String::as_str) })
    }
}

struct Claim<'a> {
    name: Vec<u8>,
    password: Vec<u8>,
    /// None if nobody has this name.
    hash: Option<&'a str>,
}

/// What was found right before, so that a scrape need not wait for bcrypt each time. Outlives a reload: a changed hash is
/// another entry.
pub(super) struct Verified {
    /// Known to this process alone, so that what is kept tells nothing of a password.
    salt: [u8; 32],
    known: Mutex<HashSet<[u8; 32]>>,
    turns: Semaphore,
}

impl Verified {
    pub(super) fn new() -> Result<Self, WebConfigError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(WebConfigError::Random)?;
        Ok(Self { salt, known: Mutex::default(), turns: Semaphore::new(AT_ONCE) })
    }

    /// Whether the request is one of these users'.
    pub(super) async fn lets_in(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some(claim) = users.claim(headers) else { return false };
        let proof = self.proof(&claim);
        if self.known().contains(&proof) {
            return true;
        }
        let _turn = self.turns.acquire().await.expect("nobody closes the semaphore");
        let (exists, hash) = (claim.hash.is_some(), claim.hash.unwrap_or(&users.nobody).to_owned());
        let password = claim.password;
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(&password, &hash));
        let matches = matches!(compared.await, Ok(Ok(true))) && exists;
        if matches {
            let mut known = self.known();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(proof);
        }
        matches
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proof(&self, claim: &Claim<'_>) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.salt);
        for part in [&claim.name, claim.hash.unwrap_or_default().as_bytes(), &claim.password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}
