//! Reads `WWW-Authenticate`: which Digest challenges a 401 offers, and which of them to answer.
//!
//! The grammar is that of RFC 9110 §11.6.1 and RFC 7616 §3.3, read as servers write it rather than as it stands: blanks
//! around `=`, names in any case, unquoted values, unknown parameters and other schemes are all taken in stride. What
//! makes no sense is passed over; nothing a server sends can fail here, it can only leave nothing to answer.

use digest_auth::{Algorithm, AlgorithmType};
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

/// No honest header line comes near this many bytes; longer ones are passed over.
const LONGEST_LINE: usize = 8 * 1024;

/// One Digest challenge that can be answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Challenge {
    /// The realm, unquoted.
    pub(super) realm: String,
    /// The server's nonce, unquoted.
    pub(super) nonce: String,
    /// To be handed back as it came.
    pub(super) opaque: Option<String>,
    /// The hash, and whether it is the `-sess` variant.
    pub(super) algorithm: Algorithm,
    /// What the server says about the quality of protection.
    pub(super) protection: Protection,
    /// Whether the server refused only the nonce, not the login.
    pub(super) stale: bool,
    /// Whether the user's name is to be sent hashed.
    pub(super) userhash: bool,
}

/// The quality of protection that a challenge asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// `qop` names `auth`.
    Auth,
    /// No `qop`: the answer of RFC 2069.
    None,
    /// No `qop` but an `op`, as Ops Manager's documents print it: either a server of RFC 2069 or a slip for `qop`.
    Op,
}

/// The strongest Digest challenge among all `WWW-Authenticate` lines; the first of equals.
pub(super) fn strongest(headers: &HeaderMap) -> Option<Challenge> {
    let mut best: Option<Challenge> = None;
    for challenge in offers(headers).iter().filter_map(Offer::digest) {
        if best.as_ref().is_none_or(|best| rank(challenge.algorithm) > rank(best.algorithm)) {
            best = Some(challenge);
        }
    }
    best
}

/// The schemes that the `WWW-Authenticate` lines name, for a message about there being nothing to answer.
pub(super) fn schemes(headers: &HeaderMap) -> String {
    let mut names: Vec<String> = offers(headers).into_iter().map(|offer| offer.scheme).collect();
    names.dedup();
    names.join(", ")
}

/// The `nextnonce` of `Authentication-Info` (RFC 7616 §3.5).
pub(super) fn next_nonce(headers: &HeaderMap) -> Option<String> {
    let line = readable(headers.get("authentication-info")?)?;
    // The header has parameters but no scheme; with one in front it reads like a challenge.
    let line = format!("Digest {line}");
    let mut offers = Vec::new();
    read_line(&line, &mut offers);
    offers.first()?.parameter("nextnonce").filter(|nonce| !nonce.is_empty()).map(str::to_owned)
}

/// By hash, then the plain variant before `-sess`, whose texts disagree on how long the session key lasts.
fn rank(algorithm: Algorithm) -> (u8, bool) {
    let strength = match algorithm.algo {
        AlgorithmType::MD5 => 0,
        AlgorithmType::SHA2_256 => 1,
        AlgorithmType::SHA2_512_256 => 2,
    };
    (strength, !algorithm.sess)
}

fn offers(headers: &HeaderMap) -> Vec<Offer> {
    let mut offers = Vec::new();
    for line in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(readable) {
        read_line(line, &mut offers);
    }
    offers
}

fn readable(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().filter(|line| line.len() <= LONGEST_LINE)
}

/// One challenge of any scheme.
#[derive(Debug)]
struct Offer {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Offer {
    /// The first parameter of this name, which is in lower case.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn digest(&self) -> Option<Challenge> {
        if !self.scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let is_true = |name| self.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let algorithm = algorithm(self.parameter("algorithm").unwrap_or("MD5"))?;
        let protection = self.protection()?;
        // The session key is made with a client nonce, which an answer without qop does not carry.
        if algorithm.sess && protection == Protection::None {
            return None;
        }
        Some(Challenge {
            realm: self.parameter("realm")?.to_owned(),
            nonce: self.parameter("nonce").filter(|nonce| !nonce.is_empty())?.to_owned(),
            opaque: self.parameter("opaque").map(str::to_owned),
            algorithm,
            protection,
            stale: is_true("stale"),
            userhash: is_true("userhash"),
        })
    }

    /// None when only protections are offered that are not spoken here.
    fn protection(&self) -> Option<Protection> {
        match self.parameter("qop").map(str::trim).filter(|list| !list.is_empty()) {
            Some(list) if names_auth(list) => Some(Protection::Auth),
            Some(_) => None,
            None if self.parameter("op").is_some_and(names_auth) => Some(Protection::Op),
            None => Some(Protection::None),
        }
    }
}

fn names_auth(list: &str) -> bool {
    list.split(',').any(|name| name.trim().eq_ignore_ascii_case("auth"))
}

fn algorithm(name: &str) -> Option<Algorithm> {
    let name = name.to_ascii_lowercase();
    let (hash, sess) = match name.strip_suffix("-sess") {
        Some(hash) => (hash, true),
        None => (name.as_str(), false),
    };
    let algo = match hash {
        "md5" => AlgorithmType::MD5,
        "sha-256" => AlgorithmType::SHA2_256,
        "sha-512-256" => AlgorithmType::SHA2_512_256,
        _ => return None,
    };
    Some(Algorithm::new(algo, sess))
}

/// Appends every challenge of one header line.
///
/// Commas part both challenges and parameters, so a word is a parameter's name if `=` and a value follow, and a scheme
/// otherwise.
fn read_line(line: &str, offers: &mut Vec<Offer>) {
    let mut text = Cursor(line);
    let first = offers.len();
    loop {
        text.skip(|c| c == ',' || c.is_ascii_whitespace());
        let word = text.take(|c| !matches!(c, ',' | '=' | '"') && !c.is_ascii_whitespace());
        text.skip(|c| c.is_ascii_whitespace());
        if text.eat('=') {
            text.skip(|c| c.is_ascii_whitespace());
            let value = if text.eat('"') { text.quoted() } else { text.token().to_owned() };
            // A parameter before the line's first scheme belongs to nothing.
            if let Some(offer) = offers.get_mut(first..).and_then(<[Offer]>::last_mut) {
                offer.parameters.push((word.to_ascii_lowercase(), value));
            }
        } else if !word.is_empty() {
            offers.push(Offer { scheme: word.to_owned(), parameters: Vec::new() });
        } else if !text.eat('"') {
            return;
        }
    }
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.0.split_at(self.0.find(|c| !wanted(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.take(unwanted);
    }

    fn eat(&mut self, c: char) -> bool {
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    /// An unquoted value: nonces in base 64 contain `=`.
    fn token(&mut self) -> &'a str {
        self.take(|c| c != ',' && !c.is_ascii_whitespace())
    }

    /// The rest of a quoted string; one that never ends goes to the end of the line.
    fn quoted(&mut self) -> String {
        let mut value = String::new();
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            match c {
                '"' => break,
                '\\' => value.extend(rest.next()),
                c => value.push(c),
            }
        }
        self.0 = rest.as_str();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let value = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).expect("a header value");
        lines.iter().map(|line| (WWW_AUTHENTICATE, value(line))).collect()
    }

    fn only(line: &str) -> Challenge {
        strongest(&headers(&[line])).unwrap_or_else(|| panic!("nothing to answer in {line}"))
    }

    #[test]
    fn the_documented_challenge_of_ops_manager_is_read() {
        // MongoDB, "Public API Resources", sample 401 header, with its `op`.
        let challenge = only(
            r#"Digest realm="MMS Public API", domain="", nonce="kE2mfXo6", algorithm=MD5, op="auth", stale=false"#,
        );
        assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("MMS Public API", "kE2mfXo6"));
        assert_eq!(challenge.protection, Protection::Op);
        assert!(!challenge.stale);
    }

    #[test]
    fn spelling_does_not_matter() {
        for line in [
            r#"Digest realm="r", nonce="n=", qop="auth", algorithm=MD5, stale=TRUE, charset=utf-8"#,
            r#"DIGEST REALM = "r" ,NONCE= "n=",QOP =auth,ALGORITHM="md5",STALE="true",Charset=UTF-8"#,
            r#"digest realm=r,nonce=n=,,qop="auth-int, Auth",future="x,y=z \" Digest",stale=true"#,
            "digest\trealm=\"r\",\tnonce=\"n=\", qop=\"token,auth\", stale=true",
        ] {
            let challenge = only(line);
            assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("r", "n="), "{line}");
            assert_eq!(challenge.protection, Protection::Auth, "{line}");
            assert_eq!(challenge.algorithm, Algorithm::default(), "{line}");
            assert!(challenge.stale, "{line}");
        }
    }

    #[test]
    fn the_strongest_digest_wins_wherever_it_stands() {
        // RFC 7616 §3.9.1 shows two challenges of one realm; Basic and Negotiate stand beside them in the wild.
        let md5 = r#"Digest realm="r", nonce="m", qop="auth", algorithm=MD5"#;
        let sha = r#"Digest realm="r", nonce="s", qop="auth", algorithm=SHA-256"#;
        let strange = r#"Digest realm="r", nonce="x", qop="auth", algorithm=BLAKE3"#;
        for lines in [
            vec![md5, sha],
            vec![sha, md5],
            vec!["Basic realm=\"r\"", strange, md5, sha],
            vec![&*format!("Basic realm=\"r, Digest\", {sha}, Negotiate abc==, {md5}")],
            vec![&*format!("Negotiate, NTLM abc=, {md5}, {sha}, Bearer")],
        ] {
            assert_eq!(strongest(&headers(&lines)).map(|c| c.nonce), Some("s".to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for line in [
            "",
            "Basic realm=\"r\"",
            "Digest",
            r#"Digest realm="r""#,
            r#"Digest nonce="n""#,
            r#"Digest realm="r", nonce="""#,
            r#"Digest realm="r", nonce="n", qop="auth-int""#,
            r#"Digest realm="r", nonce="n", algorithm=MD5-sess"#,
            r#"realm="r", nonce="n", qop="auth""#,
        ] {
            assert_eq!(strongest(&headers(&[line])), None, "{line}");
        }
        assert_eq!(schemes(&headers(&["Basic realm=\"r\", Negotiate"])), "Basic, Negotiate");
    }

    #[test]
    fn an_empty_qop_is_no_qop() {
        assert_eq!(only(r#"Digest realm="r", nonce="n", qop="""#).protection, Protection::None);
    }

    #[test]
    fn quotes_and_letters_of_any_alphabet_in_the_realm_survive() {
        assert_eq!(only(r#"Digest realm="say \"Schlüssel\" \\ now", nonce="n""#).realm, r#"say "Schlüssel" \ now"#);
    }

    #[test]
    fn the_next_nonce_is_found() {
        let mut headers = HeaderMap::new();
        let value = r#"rspauth="0f", cnonce="c", nc=00000001, qop=auth, nextnonce="after""#;
        headers.insert("authentication-info", HeaderValue::from_static(value));
        assert_eq!(next_nonce(&headers), Some("after".to_owned()));
        assert_eq!(next_nonce(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in r#"([dD]igest|[a-z]{1,3}|[",= \\\t]|realm=|nonce="|qop|é){0,40}"#) {
            if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
                let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
                let _ = (strongest(&headers), schemes(&headers));
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value.clone())]);
                let _ = (strongest(&headers), schemes(&headers));
                let _ = next_nonce(&HeaderMap::from_iter([("authentication-info".parse().unwrap(), value)]));
            }
        }

        #[test]
        fn what_was_quoted_comes_back(realm in "[ -~äß]{0,30}", nonce in "[!-~]{1,30}", between in "[ \t]{0,2}") {
            let quote = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"");
            let line = format!(
                "Basic realm=\"{r}\",{between}Digest realm{between}={between}\"{r}\"{between},nonce=\"{n}\", qop=auth",
                r = quote(&realm), n = quote(&nonce),
            );
            let challenge = only(&line);
            prop_assert_eq!(challenge.realm, realm);
            prop_assert_eq!(challenge.nonce, nonce);
        }
    }
}
