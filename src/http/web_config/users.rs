//! Who may ask: basic authentication against bcrypt hashes, without telling by time or by load who exists.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use bcrypt::HashParts;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::WebConfigError;

/// So many hashes are computed at once: each holds a core for a tenth of a second or longer.
const AT_ONCE: usize = 2;

/// So many verified passwords are remembered; there are as many as users, who are few.
const REMEMBERED: usize = 64;

/// Of a name that does not exist the password is compared with this, and refused whatever comes of it.
const NOBODY: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

/// The users of the file.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self, WebConfigError> {
        for (user, hash) in &hashes {
            if hash.parse::<HashParts>().is_err() {
                return Err(WebConfigError::User(user.clone()));
            }
        }
        Ok(Self { hashes })
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
        let bytes = base64(encoded.trim())?;
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
        let (exists, hash) = (claim.hash.is_some(), claim.hash.unwrap_or(NOBODY).to_owned());
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

/// RFC 4648, with its padding or without.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).expect("eight bits are a byte"));
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_rfc_4648_has_it() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("a*"), None);
    }
}
