//! Who comes in: challenges, nonces and their rules, and the verdict on a login.
//!
//! The rules of real Ops Managers about nonces are not published, so every strictness seen in other servers can be
//! set here. The arithmetic is in `digest`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::chance;
use super::digest::{Algorithm, Answer};

/// How the simulator challenges and how strict it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRules {
    /// The realm in the challenge.
    pub realm: String,
    /// One `WWW-Authenticate` header for each, in this order.
    pub challenges: Vec<Challenge>,
    /// How the challenge speaks of `qop`.
    pub qop: QopOffer,
    /// Whether an answer in the form of RFC 2069 (no qop) is refused.
    pub insist_on_qop: bool,
    /// A nonce older than this is stale.
    pub nonce_lifetime: Duration,
    /// A nonce used more often than this is stale. `None`: no limit.
    pub nonce_uses: Option<u32>,
    /// What is asked of the nonce count.
    pub nonce_count: NonceCount,
}

impl Default for DigestRules {
    /// The documented challenge, with `qop` spelt right, from a server that refuses a replayed count.
    fn default() -> Self {
        Self {
            realm: "MMS Public API".into(),
            challenges: vec![Challenge::Md5],
            qop: QopOffer::Auth,
            insist_on_qop: false,
            nonce_lifetime: Duration::from_secs(300),
            nonce_uses: None,
            nonce_count: NonceCount::Unique,
        }
    }
}

/// One way to log in that a 401 offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Offered, as some proxies do, and never accepted.
    Basic,
    /// Digest with MD5, the documented one.
    Md5,
    /// Digest with SHA-256.
    Sha256,
}

impl Challenge {
    fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Basic => None,
            Self::Md5 => Some(Algorithm::Md5),
            Self::Sha256 => Some(Algorithm::Sha256),
        }
    }
}

/// How the challenge speaks of `qop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QopOffer {
    /// `qop="auth"`.
    Auth,
    /// Not at all: RFC 2069.
    Absent,
    /// `op="auth"`, to the letter of the documentation.
    Misspelt,
}

/// What is asked of the nonce count (`nc`) of one nonce. A breach is a 401 that does not say stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceCount {
    /// Nothing.
    Any,
    /// No count twice.
    Unique,
    /// Each greater than the one before, in the order of arrival.
    Increasing,
}

/// The verdict on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Accepted,
    /// No `Authorization` header: the first half of every digest login.
    Missing,
    /// The right password with a nonce whose time is over.
    Stale,
    /// The right password with a count that breaks the rules.
    CountRefused,
    /// Anything else, the wrong password above all.
    Bad,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) rules: DigestRules,
    pub(super) public_key: String,
    pub(super) private_key: String,
    nonces: HashMap<String, Nonce>,
    issued: u64,
    salt: u64,
}

#[derive(Debug)]
struct Nonce {
    issued: Timestamp,
    uses: u32,
    highest: u32,
    seen: HashSet<u32>,
}

/// Beyond this many nonces the expired ones are forgotten; a forgotten nonce is stale, as an expired one is.
const NONCES_KEPT: usize = 50_000;

impl Gate {
    /// `salt` keeps the nonces of two simulators apart.
    pub(super) fn new(rules: DigestRules, public_key: String, private_key: String, salt: u64) -> Self {
        Self { rules, public_key, private_key, nonces: HashMap::new(), issued: 0, salt }
    }

    /// Judges one request. `uri` is the request's target as it stood in the request line, with its query.
    pub(super) fn judge(&mut self, method: &str, uri: &str, header: Option<&str>, now: Timestamp) -> Login {
        let Some(header) = header else {
            return Login::Missing;
        };
        let Ok(answer) = Answer::parse(header) else {
            return Login::Bad;
        };
        let offered = |c: &Challenge| c.algorithm() == Some(answer.algorithm);
        let fits = answer.username == self.public_key
            && answer.realm == self.rules.realm
            && answer.uri == uri
            && self.rules.challenges.iter().any(offered)
            && !(self.rules.insist_on_qop && answer.count.is_none())
            && answer.proves(method, &self.private_key);
        if !fits {
            return Login::Bad;
        }
        let Some(nonce) = self.nonces.get_mut(&answer.nonce) else {
            return Login::Stale;
        };
        let lifetime = self.rules.nonce_lifetime;
        let age = now.duration_since(nonce.issued).unsigned_abs();
        if age > lifetime || self.rules.nonce_uses.is_some_and(|most| nonce.uses >= most) {
            return Login::Stale;
        }
        let Some(count) = &answer.count else {
            nonce.uses += 1;
            return Login::Accepted;
        };
        let Some(count) = count.value() else {
            return Login::Bad;
        };
        let allowed = match self.rules.nonce_count {
            NonceCount::Any => true,
            NonceCount::Unique => nonce.seen.insert(count),
            NonceCount::Increasing => count > nonce.highest,
        };
        if !allowed {
            return Login::CountRefused;
        }
        nonce.highest = nonce.highest.max(count);
        nonce.uses += 1;
        Login::Accepted
    }

    /// The `WWW-Authenticate` headers of a 401, with a nonce made for it.
    ///
    /// Parameters are separated by a comma and a space: one widespread client splits at exactly that.
    pub(super) fn challenge(&mut self, stale: bool, now: Timestamp) -> Vec<String> {
        let nonce = self.issue(now);
        let realm = self.rules.realm.replace('\\', "\\\\").replace('"', "\\\"");
        let qop = match self.rules.qop {
            QopOffer::Auth => r#", qop="auth""#,
            QopOffer::Absent => "",
            QopOffer::Misspelt => r#", op="auth""#,
        };
        let offers = self.rules.challenges.iter();
        offers
            .map(|challenge| match challenge.algorithm() {
                None => format!(r#"Basic realm="{realm}""#),
                Some(algorithm) => format!(
                    r#"Digest realm="{realm}", domain="", nonce="{nonce}", algorithm={}{qop}, stale={stale}"#,
                    algorithm.name()
                ),
            })
            .collect()
    }

    fn issue(&mut self, now: Timestamp) -> String {
        if self.nonces.len() >= NONCES_KEPT {
            let lifetime = self.rules.nonce_lifetime;
            let alive = |n: &Nonce| now.duration_since(n.issued).unsigned_abs() <= lifetime;
            self.nonces.retain(|_, nonce| alive(nonce));
            if self.nonces.len() >= NONCES_KEPT {
                self.nonces.clear();
            }
        }
        self.issued += 1;
        let high = chance::scramble(self.salt ^ self.issued);
        let text = format!("{high:016x}{:016x}", chance::scramble(high));
        let nonce = Nonce { issued: now, uses: 0, highest: 0, seen: HashSet::new() };
        self.nonces.insert(text.clone(), nonce);
        text
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};

    use super::super::digest::hex;
    use super::*;

    const URI: &str = "/x?pretty=true";

    fn gate(rules: DigestRules) -> Gate {
        Gate::new(rules, "user".into(), "key".into(), 1)
    }

    fn nonce_of(gate: &mut Gate, now: Timestamp) -> String {
        let challenge = gate.challenge(false, now).pop().unwrap();
        challenge.split('"').nth(5).unwrap().to_owned()
    }

    fn answer(nonce: &str, nc: &str, password: &str) -> String {
        let md5 = |text: String| hex(&Md5::digest(text));
        let secret = md5(format!("user:MMS Public API:{password}"));
        let request = md5(format!("GET:{URI}"));
        let response = md5(format!("{secret}:{nonce}:{nc}:c:auth:{request}"));
        format!(
            r#"Digest username="user", realm="MMS Public API", nonce="{nonce}", uri="{URI}", qop=auth, nc={nc}, cnonce="c", response="{response}""#
        )
    }

    /// The documented challenge, letter for letter: clients have been written against exactly this line.
    #[test]
    fn the_challenge_reads_as_documented() {
        let mut gate = gate(DigestRules { qop: QopOffer::Misspelt, ..DigestRules::default() });
        let challenge = gate.challenge(false, Timestamp::UNIX_EPOCH);
        let nonce = challenge[0].split('"').nth(5).unwrap();
        assert_eq!(
            challenge,
            [format!(
                r#"Digest realm="MMS Public API", domain="", nonce="{nonce}", algorithm=MD5, op="auth", stale=false"#
            )]
        );
    }

    /// Stale is said only to those who know the password; a wrong password never learns that its nonce was good.
    #[test]
    fn verdicts_follow_the_rules_of_the_nonce() {
        let start = Timestamp::UNIX_EPOCH;
        let rules = |nonce_count, nonce_uses| DigestRules { nonce_count, nonce_uses, ..DigestRules::default() };
        let cases = [
            (NonceCount::Any, None, ["1", "1"], Login::Accepted),
            (NonceCount::Unique, None, ["1", "01"], Login::CountRefused),
            (NonceCount::Unique, None, ["2", "1"], Login::Accepted),
            (NonceCount::Increasing, None, ["2", "1"], Login::CountRefused),
            (NonceCount::Increasing, None, ["1", "7"], Login::Accepted),
            (NonceCount::Any, Some(1), ["1", "2"], Login::Stale),
        ];
        for (count, uses, [first, second], verdict) in cases {
            let mut gate = gate(rules(count, uses));
            let nonce = nonce_of(&mut gate, start);
            let mut try_count = |nc: &str| gate.judge("GET", URI, Some(&answer(&nonce, nc, "key")), start);
            assert_eq!(try_count(first), Login::Accepted);
            assert_eq!(try_count(second), verdict, "{count:?} {first} {second}");
        }

        let mut gate = gate(rules(NonceCount::Any, None));
        let nonce = nonce_of(&mut gate, start);
        let late = start + Duration::from_secs(301);
        let (good, wrong) = (answer(&nonce, "1", "key"), answer(&nonce, "1", "yek"));
        assert_eq!(gate.judge("GET", URI, Some(&good), late), Login::Stale);
        assert_eq!(gate.judge("GET", URI, Some(&wrong), late), Login::Bad);
        assert_eq!(gate.judge("GET", URI, Some(&wrong), start), Login::Bad);
        assert_eq!(gate.judge("GET", "/x", Some(&good), start), Login::Bad);
        assert_eq!(gate.judge("GET", URI, None, start), Login::Missing);
        let forged = answer("no-such-nonce", "1", "key");
        assert_eq!(gate.judge("GET", URI, Some(&forged), start), Login::Stale);
    }
}
