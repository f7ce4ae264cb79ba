//! HTTP Digest (RFC 7616, RFC 2069): proves knowledge of the private key without sending it.
//!
//! No bytes travel here. A request asks its [`Attempt`] for the `Authorization` to send and tells it what came back;
//! the caller owns the connection. `digest_auth` does the arithmetic; what it does not know, namely when a nonce may be
//! used again and what a 401 means, is decided here.
//!
//! - Once a nonce is known, a request costs one round trip; a nonce that went stale costs one more.
//! - A wrong private key costs one refused login a call, two where the challenge can be read in two ways or a nonce had worked
//!   before: no account is locked by us.
//! - The key goes out only as a hash, and only to a Digest challenge: `Basic` is never answered.

mod challenge;
mod lanes;

use std::sync::atomic::{AtomicBool, Ordering};

use digest_auth::{AuthContext, AuthorizationHeader, HttpMethod, Qop};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};

use challenge::{Challenge, Protection};
use lanes::{Lane, Lanes};

/// More challenges than this within one call are a quarrel, not an expiry.
const MOST_CHALLENGES: u8 = 3;

/// One key pair at one server, with the nonces that the server has given for it.
pub(crate) struct Login {
    public_key: String,
    private_key: SecretString,
    lanes: Lanes,
    /// Whether this server's `op="auth"` has turned out to mean `qop="auth"`.
    op_means_qop: AtomicBool,
}

/// What to do about a 401.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send the request again, with the attempt's new authorization.
    Answer,
    /// The key pair is refused.
    Refused,
    /// Each nonce is called stale, however new: of the key pair that says nothing. Servers that share an address and no nonces
    /// do it now and then.
    Stale,
    /// There is no Digest challenge to answer; these schemes are offered.
    NotDigest(String),
}

impl Login {
    pub(crate) fn new(public_key: String, private_key: SecretString) -> Self {
        Self { public_key, private_key, lanes: Lanes::default(), op_means_qop: AtomicBool::new(false) }
    }

    /// Begins one call. Dropping the attempt, for example when its request was cut, drops its nonce: who knows whether
    /// the server has counted it.
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt {
            login: self,
            lane: self.lanes.take(),
            op_as_qop: self.op_means_qop.load(Ordering::Relaxed),
            doubted: false,
            challenges: 0,
        }
    }
}

/// One call's dealings with the server's challenges.
pub(crate) struct Attempt<'a> {
    login: &'a Login,
    /// None as long as no challenge is known: the request then goes out bare.
    lane: Option<Lane>,
    /// Whether a challenge with `op` is answered as if it were `qop`.
    op_as_qop: bool,
    /// Whether a nonce that had worked was refused in this call, which is believed only once.
    doubted: bool,
    challenges: u8,
}

impl Attempt<'_> {
    /// The header for the next request; none before the first challenge. `uri` is the path with the query.
    ///
    /// # Errors
    /// If no header can carry the answer: what the challenge or the public key holds is not to be sent.
    pub(crate) fn authorization(&self, method: &Method, uri: &str) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
        let Some(Lane { challenge, nonce }) = &self.lane else { return Ok(None) };
        let qop = match challenge.protection {
            Protection::Auth => Some(Qop::AUTH),
            Protection::None => None,
            Protection::Op => self.op_as_qop.then_some(Qop::AUTH),
        };
        let mut header = AuthorizationHeader {
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            opaque: challenge.opaque.clone(),
            userhash: challenge.userhash,
            algorithm: challenge.algorithm,
            response: String::new(),
            username: String::new(),
            uri: uri.to_owned(),
            qop,
            cnonce: Some(nonce.client.clone()),
            nc: nonce.next_count(),
        };
        header.digest(&AuthContext::new_with_method(
            self.login.public_key.as_str(),
            self.login.private_key.expose_secret(),
            uri,
            None::<&[u8]>,
            HttpMethod::from(method.as_str()),
        ));
        let mut value = HeaderValue::try_from(header.to_string())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whether a 401 with these headers may speak of something else than the login: there was one, and its nonce is not
    /// said to be stale.
    pub(crate) fn stands(&self, headers: &HeaderMap) -> bool {
        self.lane.is_some() && !challenge::strongest(headers).is_some_and(|challenge| challenge.stale)
    }

    /// The server knows us, whatever it said about the request: its nonce is good for the next one.
    pub(crate) fn accepted(self, headers: &HeaderMap) {
        let Some(lane) = self.lane else { return };
        lane.nonce.set_accepted();
        if lane.challenge.protection == Protection::Op {
            self.login.op_means_qop.store(self.op_as_qop, Ordering::Relaxed);
        }
        let lane = match challenge::next_nonce(headers) {
            Some(nonce) if nonce != lane.challenge.nonce => {
                let next = self.login.lanes.open(Challenge { nonce, ..lane.challenge });
                next.nonce.set_accepted();
                next
            }
            _ => lane,
        };
        self.login.lanes.give_back(lane);
    }

    /// The server answered 401.
    pub(crate) fn refused(&mut self, headers: &HeaderMap) -> Next {
        let answered = self.lane.take();
        let Some(challenge) = challenge::strongest(headers) else {
            return match answered {
                Some(_) => self.give_up(),
                None => Next::NotDigest(challenge::schemes(headers)),
            };
        };
        let again = match &answered {
            None => true,
            Some(_) if challenge.stale => true,
            // Servers that count strictly, or that forget nonces, refuse one that has worked without calling it stale.
            Some(lane) if lane.nonce.was_accepted() => !std::mem::replace(&mut self.doubted, true),
            Some(lane) if lane.challenge.protection == Protection::Op => !std::mem::replace(&mut self.op_as_qop, true),
            Some(_) => false,
        };
        if !again || self.challenges == MOST_CHALLENGES {
            let refused = self.give_up();
            return if challenge.stale { Next::Stale } else { refused };
        }
        self.challenges += 1;
        self.lane = Some(self.login.lanes.open(challenge));
        Next::Answer
    }

    fn give_up(&self) -> Next {
        self.login.lanes.clear();
        self.login.op_means_qop.store(false, Ordering::Relaxed);
        Next::Refused
    }
}

#[cfg(test)]
mod tests;
