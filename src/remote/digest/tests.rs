//! A strict server of RFC 7616 and RFC 2069, played by hand, and what an [`Attempt`] makes of its moods.

use std::collections::HashMap;

use digest_auth::{AuthContext, AuthorizationHeader};
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::*;

const URI: &str = "/api/public/v1.0/groups/g/backupConfigs/c/encryptionKey?pretty=false";

/// What the server makes of the protection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    /// Demands `qop=auth`.
    Auth(&'static str),
    /// Names no `qop` and takes none.
    Rfc2069,
    /// Prints `op` and takes the answer of RFC 2069.
    Op,
    /// Prints `op` and means `qop`.
    OpMeansQop,
}

/// Answers as strictly as any server does: a counter must go up for each nonce.
struct Server {
    dialect: Dialect,
    password: &'static str,
    /// Answers that one nonce is good for.
    uses: u32,
    /// Says `stale=true` when it refuses a nonce that it gave out.
    says_stale: bool,
    /// Hands out each nonce this many times.
    repeats: u32,
    given: u32,
    /// The last counter, and the number of answers, for each nonce.
    nonces: HashMap<String, (u32, u32)>,
    requests: u32,
    bad_logins: u32,
}

impl Server {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            password: "right",
            uses: u32::MAX,
            says_stale: true,
            repeats: 1,
            given: 0,
            nonces: HashMap::new(),
            requests: 0,
            bad_logins: 0,
        }
    }

    /// None is a success, the headers are those of a 401.
    fn handle(&mut self, authorization: Option<HeaderValue>) -> Option<HeaderMap> {
        self.requests += 1;
        let Some(value) = authorization else { return Some(self.challenge(false)) };
        assert!(value.is_sensitive(), "the header could be printed");
        let sent = AuthorizationHeader::parse(value.to_str().expect("ASCII")).expect("a readable answer");
        let wanted = match self.dialect {
            Dialect::Auth(_) | Dialect::OpMeansQop => Some(Qop::AUTH),
            Dialect::Rfc2069 | Dialect::Op => None,
        };
        let mut expected = AuthorizationHeader { response: String::new(), ..sent.clone() };
        expected.digest(&AuthContext::new("key", self.password, URI));
        let Some((last, used)) = self.nonces.get_mut(&sent.nonce) else { return Some(self.challenge(true)) };
        if sent.qop != wanted || sent.response != expected.response || sent.uri != URI {
            self.bad_logins += 1;
            return Some(self.challenge(false));
        }
        if *used >= self.uses || (sent.qop.is_some() && sent.nc <= *last) {
            let stale = self.says_stale;
            return Some(self.challenge(stale));
        }
        (*last, *used) = (sent.nc, *used + 1);
        None
    }

    fn challenge(&mut self, stale: bool) -> HeaderMap {
        let nonce = format!("nonce{}", self.given / self.repeats);
        self.given += 1;
        self.nonces.entry(nonce.clone()).or_default();
        let protection = match self.dialect {
            Dialect::Auth(algorithm) => format!(", qop=\"auth\", algorithm={algorithm}"),
            Dialect::Rfc2069 => String::new(),
            Dialect::Op | Dialect::OpMeansQop => ", algorithm=MD5, op=\"auth\"".to_owned(),
        };
        let line = format!("Digest realm=\"MMS Public API\", nonce=\"{nonce}\"{protection}, stale={stale}");
        HeaderMap::from_iter([(WWW_AUTHENTICATE, line.parse().expect("a header"))])
    }
}

fn login(password: &str) -> Login {
    Login::new("key".to_owned(), password.into())
}

/// One call from beginning to end; whether the server accepted it.
fn call(login: &Login, server: &mut Server) -> bool {
    let mut attempt = login.attempt();
    loop {
        match server.handle(attempt.authorization(&Method::GET, URI).expect("a header")) {
            None => {
                attempt.accepted(&HeaderMap::new());
                return true;
            }
            Some(headers) => match attempt.refused(&headers) {
                Next::Answer => {}
                Next::Refused | Next::Stale => return false,
                Next::NotDigest(schemes) => panic!("{schemes}"),
            },
        }
    }
}

const DIALECTS: [Dialect; 9] = [
    Dialect::Auth("MD5"),
    Dialect::Auth("MD5-sess"),
    Dialect::Auth("SHA-256"),
    Dialect::Auth("SHA-256-sess"),
    Dialect::Auth("SHA-512-256"),
    Dialect::Auth("\"md5\""),
    Dialect::Rfc2069,
    Dialect::Op,
    Dialect::OpMeansQop,
];

#[test]
fn once_warm_a_request_is_one_round_trip_in_every_dialect() {
    for dialect in DIALECTS {
        let (login, mut server) = (login("right"), Server::new(dialect));
        assert!(call(&login, &mut server), "{dialect:?}");
        let cold = server.requests;
        assert_eq!(cold, if dialect == Dialect::OpMeansQop { 3 } else { 2 }, "{dialect:?}");
        assert!((0..20).all(|_| call(&login, &mut server)), "{dialect:?}");
        assert_eq!(server.requests - cold, 20, "{dialect:?}");
    }
}

#[test]
fn what_op_means_is_learned_once() {
    let (login, mut server) = (login("right"), Server::new(Dialect::OpMeansQop));
    server.uses = 1;
    assert!((0..5).all(|_| call(&login, &mut server)));
    assert_eq!(server.bad_logins, 1);
}

#[test]
fn a_wrong_key_is_one_bad_login_a_call() {
    for dialect in DIALECTS.into_iter().filter(|dialect| !matches!(dialect, Dialect::Op | Dialect::OpMeansQop)) {
        let (login, mut server) = (login("wrong"), Server::new(dialect));
        for calls in 1..=3 {
            assert!(!call(&login, &mut server));
            assert_eq!(server.bad_logins, calls, "{dialect:?}");
        }
    }
}

#[test]
fn a_wrong_key_is_tried_in_both_readings_of_op_and_no_more() {
    let (login, mut server) = (login("wrong"), Server::new(Dialect::Op));
    assert!(!call(&login, &mut server));
    assert_eq!((server.bad_logins, server.requests), (2, 3));
}

#[test]
fn a_stale_nonce_costs_one_round_trip_said_or_not() {
    for says_stale in [true, false] {
        let (login, mut server) = (login("right"), Server::new(Dialect::Auth("MD5")));
        (server.uses, server.says_stale) = (5, says_stale);
        assert!((0..20).all(|_| call(&login, &mut server)));
        assert_eq!(server.requests, 20 + 4);
        assert_eq!(server.bad_logins, 0);
    }
}

#[test]
fn a_key_changed_behind_warm_nonces_ends_at_once() {
    let (login, mut server) = (login("right"), Server::new(Dialect::Auth("SHA-256")));
    let mut attempts: Vec<_> = (0..4).map(|_| login.attempt()).collect();
    for attempt in &mut attempts {
        let challenge =
            server.handle(attempt.authorization(&Method::GET, URI).expect("a header")).expect("a challenge");
        assert_eq!(attempt.refused(&challenge), Next::Answer);
        assert_eq!(server.handle(attempt.authorization(&Method::GET, URI).expect("a header")), None);
    }
    attempts.into_iter().for_each(|attempt| attempt.accepted(&HeaderMap::new()));
    server.password = "changed";
    assert!(!call(&login, &mut server));
    assert_eq!(server.bad_logins, 2, "once with the nonce that had worked, once with a fresh one");
    assert!(!call(&login, &mut server));
    assert_eq!(server.bad_logins, 3, "the other warm nonces are forgotten");
}

#[test]
fn a_nonce_that_worked_is_trusted_against_a_refusal_only_once() {
    let (login, mut server) = (login("right"), Server::new(Dialect::Auth("MD5")));
    server.repeats = u32::MAX;
    assert!(call(&login, &mut server));
    server.password = "changed";
    assert!(!call(&login, &mut server));
    assert_eq!(server.bad_logins, 2);
}

/// Lanes that share a nonce could overtake each other on the wire.
#[test]
fn a_nonce_given_to_two_requests_at_once_serves_one_at_a_time_afterwards() {
    let (login, mut server) = (login("right"), Server::new(Dialect::Auth("MD5")));
    server.repeats = u32::MAX;
    let mut attempts = [login.attempt(), login.attempt()];
    for attempt in &mut attempts {
        let challenge = server.handle(None).expect("a challenge");
        assert_eq!(attempt.refused(&challenge), Next::Answer);
    }
    for attempt in attempts {
        assert_eq!(server.handle(attempt.authorization(&Method::GET, URI).expect("a header")), None);
        attempt.accepted(&HeaderMap::new());
    }
    let (first, second) = (login.attempt(), login.attempt());
    assert!(first.authorization(&Method::GET, URI).expect("a header").is_some(), "the nonce is still good");
    assert!(second.authorization(&Method::GET, URI).expect("a header").is_none(), "two requests hold one nonce");
}

#[test]
fn a_server_that_never_says_yes_is_left_alone() {
    let mut server = Server::new(Dialect::Auth("MD5"));
    server.uses = 0;
    assert!(!call(&login("right"), &mut server), "stale for ever");
    assert_eq!(server.requests, u32::from(MOST_CHALLENGES) + 1);
    // Nor is it said to have refused the key pair: of that it did not speak.
    let login = login("right");
    let mut attempt = login.attempt();
    let last = (0..=MOST_CHALLENGES).map(|_| {
        let challenge =
            server.handle(attempt.authorization(&Method::GET, URI).expect("a header")).expect("a challenge");
        attempt.refused(&challenge)
    });
    assert_eq!(last.last(), Some(Next::Stale));
}

#[test]
fn a_next_nonce_is_used_next() {
    let (login, mut server) = (login("right"), Server::new(Dialect::Auth("MD5")));
    server.uses = 1;
    let mut attempt = login.attempt();
    let challenge = server.handle(None).expect("a challenge");
    assert_eq!(attempt.refused(&challenge), Next::Answer);
    assert_eq!(server.handle(attempt.authorization(&Method::GET, URI).expect("a header")), None);
    server.nonces.insert("following".to_owned(), (0, 0));
    let info = HeaderValue::from_static("nextnonce=\"following\"");
    attempt.accepted(&HeaderMap::from_iter([("authentication-info".parse().expect("a name"), info)]));
    let before = server.requests;
    assert!(call(&login, &mut server));
    assert_eq!(server.requests - before, 1);
}

#[test]
fn a_realm_comes_back_as_it_came() {
    let line = "Digest realm=\"say \\\"Schlüssel\\\"\", nonce=\"n\", opaque=\"o\", qop=auth";
    let value = HeaderValue::from_bytes(line.as_bytes()).expect("a header");
    let login = login("right");
    let mut attempt = login.attempt();
    assert_eq!(attempt.refused(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)])), Next::Answer);
    let answer = attempt.authorization(&Method::PUT, URI).expect("a header").expect("an answer");
    let answer = String::from_utf8(answer.as_bytes().to_vec()).expect("UTF-8");
    assert!(answer.contains("realm=\"say \\\"Schlüssel\\\"\""), "{answer}");
    assert!(answer.contains("opaque=\"o\"") && answer.contains(&format!("uri=\"{URI}\"")), "{answer}");
}

/// Sent bare, the request would only bring the same challenge again, and read as a wrong key.
#[test]
fn an_answer_that_no_header_can_carry_is_an_error_and_no_bare_request() {
    let login = Login::new("key\u{7}".to_owned(), "right".into());
    let mut attempt = login.attempt();
    let challenge = Server::new(Dialect::Auth("MD5")).handle(None).expect("a challenge");
    assert_eq!(attempt.refused(&challenge), Next::Answer);
    assert!(attempt.authorization(&Method::GET, URI).is_err());
}

#[test]
fn only_digest_is_answered() {
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"r\""))]);
    let login = login("right");
    let mut attempt = login.attempt();
    assert_eq!(attempt.refused(&headers), Next::NotDigest("Basic".to_owned()));
    assert_eq!(attempt.authorization(&Method::GET, URI).expect("a header"), None);
}

/// What one of many interleaved calls does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Its request is made or, if it was, reaches the server, and the reply comes back.
    Go,
    /// It is dropped in the middle, as by a time-out.
    Drop,
}

/// A call under way, and its request while that is on the wire.
struct Flight<'a> {
    attempt: Attempt<'a>,
    request: Option<Option<HeaderValue>>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Requests overtake each other on the way to a server that counts strictly. None is refused for its counter, as
    /// each nonce is in the hands of one call at a time.
    #[test]
    fn calls_side_by_side_do_not_disturb_each_other(
        steps in prop::collection::vec((0_usize..8, prop_oneof![9 => Just(Step::Go), 1 => Just(Step::Drop)]), 1..200),
        sess in any::<bool>(),
    ) {
        let login = login("right");
        let mut server = Server::new(Dialect::Auth(if sess { "MD5-sess" } else { "SHA-256" }));
        let mut flights: [Option<Flight<'_>>; 8] = Default::default();
        for (at, step) in steps {
            let Flight { mut attempt, request } =
                flights[at].take().unwrap_or_else(|| Flight { attempt: login.attempt(), request: None });
            flights[at] = match (step, request) {
                (Step::Drop, _) => None,
                (Step::Go, None) => {
                    let request = Some(attempt.authorization(&Method::GET, URI).expect("a header"));
                    Some(Flight { attempt, request })
                }
                (Step::Go, Some(request)) => {
                    let is_bare = request.is_none();
                    match server.handle(request) {
                        None => {
                            attempt.accepted(&HeaderMap::new());
                            None
                        }
                        Some(headers) => {
                            prop_assert!(is_bare, "an answer was refused");
                            prop_assert_eq!(attempt.refused(&headers), Next::Answer);
                            Some(Flight { attempt, request: None })
                        }
                    }
                }
            };
        }
    }

    /// A server that hands out one nonce to all: its counter goes on, also past requests whose reply was never seen.
    #[test]
    fn a_nonce_given_twice_is_counted_once(
        steps in prop::collection::vec((0_usize..4, prop_oneof![4 => Just(Step::Go), 1 => Just(Step::Drop)]), 1..100),
    ) {
        let login = login("right");
        let mut server = Server::new(Dialect::Auth("MD5"));
        server.repeats = u32::MAX;
        let mut calls: [Option<Attempt<'_>>; 4] = Default::default();
        for (at, step) in steps {
            let mut attempt = calls[at].take().unwrap_or_else(|| login.attempt());
            let request = attempt.authorization(&Method::GET, URI).expect("a header");
            let is_bare = request.is_none();
            match (server.handle(request), step) {
                (_, Step::Drop) => {}
                (None, Step::Go) => attempt.accepted(&HeaderMap::new()),
                (Some(headers), Step::Go) => {
                    prop_assert!(is_bare, "an answer was refused");
                    prop_assert_eq!(attempt.refused(&headers), Next::Answer);
                    calls[at] = Some(attempt);
                }
            }
        }
    }
}
