//! The arithmetic of HTTP Digest as a server does it: reading an `Authorization` header and checking its answer.
//!
//! RFC 7616 with `qop=auth` and MD5 or SHA-256, and RFC 2069 (no qop). Written from the RFCs and from nothing else:
//! a mistake that client and simulator shared would cancel out. Nonces and their rules are in `gate`.

use std::collections::HashMap;

use md5::{Digest, Md5};
use sha2::Sha256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client claims to know.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    pub(super) algorithm: Algorithm,
    /// Absent: an answer in the form of RFC 2069.
    pub(super) count: Option<Count>,
    response: String,
}

/// The part of an answer that `qop=auth` adds.
#[derive(Debug)]
pub(super) struct Count {
    /// As the client wrote it: some write `1` for `00000001`, and hash what they wrote.
    nc: String,
    cnonce: String,
}

impl Count {
    /// `None`: not a number.
    pub(super) fn value(&self) -> Option<u32> {
        u32::from_str_radix(&self.nc, 16).ok()
    }
}

impl Answer {
    /// Reads an `Authorization` header. The error is a sentence for a person who debugs a client.
    pub(super) fn parse(header: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = header.split_once(' ').ok_or("no parameters")?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err("the scheme is not Digest");
        }
        let mut fields = parameters(rest)?;
        let mut take = |name| fields.remove(name);
        let algorithm = match take("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return Err("the algorithm was not offered"),
        };
        let count = match take("qop") {
            None => None,
            Some(qop) if qop == "auth" => Some(Count {
                nc: take("nc").ok_or("qop without nc")?,
                cnonce: take("cnonce").ok_or("qop without cnonce")?,
            }),
            Some(_) => return Err("the qop was not offered"),
        };
        Ok(Self {
            username: take("username").ok_or("no username")?,
            realm: take("realm").ok_or("no realm")?,
            nonce: take("nonce").ok_or("no nonce")?,
            uri: take("uri").ok_or("no uri")?,
            response: take("response").ok_or("no response")?,
            algorithm,
            count,
        })
    }

    /// Whether only someone who knows `password` could have given this answer for `method`.
    pub(super) fn proves(&self, method: &str, password: &str) -> bool {
        let hash = |text: String| self.algorithm.hash(&text);
        let (user, realm, nonce) = (&self.username, &self.realm, &self.nonce);
        let secret = hash(format!("{user}:{realm}:{password}"));
        let request = hash(format!("{method}:{}", self.uri));
        let expected = match &self.count {
            Some(Count { nc, cnonce }) => hash(format!("{secret}:{nonce}:{nc}:{cnonce}:auth:{request}")),
            None => hash(format!("{secret}:{nonce}:{request}")),
        };
        self.response.eq_ignore_ascii_case(&expected)
    }
}

/// `name=token` and `name="quoted string"`, separated by commas. Names come out in lower case.
fn parameters(text: &str) -> Result<HashMap<String, String>, &'static str> {
    let mut fields = HashMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(fields);
        }
        let (name, after) = rest.split_once('=').ok_or("a parameter without a value")?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let (token, after) = after.split_at(end);
                (token.trim().to_owned(), after)
            }
        };
        if fields.insert(name.trim().to_ascii_lowercase(), value).is_some() {
            return Err("a parameter given twice");
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or("a quote that never closes")? {
            '"' => return Ok((value, characters.as_str())),
            '\\' => value.push(characters.next().ok_or("a quote that never closes")?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616, section 3.9.1, both algorithms of its example.
    #[test]
    fn the_examples_of_rfc_7616_are_accepted() {
        let common = r#"username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
            nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, qop=auth,
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            .replace('\n', " ");
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let header = format!(r#"Digest {common}, algorithm={algorithm}, response="{response}""#);
            let answer = Answer::parse(&header).unwrap();
            assert!(answer.proves("GET", "Circle of Life"), "{algorithm}");
            assert!(!answer.proves("GET", "circle of life"), "{algorithm}");
            assert!(!answer.proves("PUT", "Circle of Life"), "the method is part of the proof");
        }
    }

    /// RFC 2069, section 2.4, with the response that its erratum 749 gives.
    #[test]
    fn the_example_of_rfc_2069_is_accepted() {
        let header = r#"digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", response="1949323746fe6a43ef61f9606e7febea""#;
        let answer = Answer::parse(header).unwrap();
        assert!(answer.count.is_none());
        assert!(answer.proves("GET", "CircleOfLife"));
    }

    /// Clients differ in what they quote and in how they write the count; all of them are right.
    #[test]
    fn quoting_is_free_and_a_count_need_not_be_padded() {
        let header = r#"Digest username="a\"b", realm="r, s", nonce="n", uri="/x?y=1,2",algorithm="MD5",qop="auth", nc=1, cnonce=abc, response=0"#;
        let answer = Answer::parse(header).unwrap();
        assert_eq!(answer.username, "a\"b");
        assert_eq!(answer.realm, "r, s");
        assert_eq!(answer.uri, "/x?y=1,2");
        assert_eq!(answer.count.unwrap().value(), Some(1));
    }

    /// What is not an answer is refused with a reason, never with a panic.
    #[test]
    fn malformed_headers_are_refused() {
        for (header, reason) in [
            ("Basic dXNlcjpwYXNz", "the scheme is not Digest"),
            ("Digest", "no parameters"),
            ("Digest username", "a parameter without a value"),
            ("Digest username=\"abc", "a quote that never closes"),
            ("Digest qop=auth-int", "the qop was not offered"),
            ("Digest qop=auth, nc=1", "qop without cnonce"),
            ("Digest nc=1, nc=2", "a parameter given twice"),
            ("Digest algorithm=MD5-sess", "the algorithm was not offered"),
        ] {
            assert_eq!(Answer::parse(header).unwrap_err(), reason, "{header}");
        }
    }
}
