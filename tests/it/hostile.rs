//! Servers that misbehave, spoken in raw TCP: whatever comes back, a call ends in time, in bounds, with the right
//! verdict.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rekeyd::domain::{Failure, Reason, Scope, Verdict};
use rekeyd::ports::{Clock, KeyService, Operation, RequestOutcome};
use rekeyd::remote::ops_manager::OpsManager;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::far_end::{KEY_PATH, Told, free_address, ops_manager, real_clock, settings, target};

/// What the server does when a request has arrived.
#[derive(Clone)]
enum Act {
    /// Sends these bytes and waits for the next request.
    Say(String),
    /// Sends these bytes and closes the connection.
    Cut(String),
    /// Sends the first part, then the second again and again, for ever.
    Flood(String, String),
    /// Sends the head, then a byte now and then.
    Drip(String),
    /// Never answers.
    Silence,
}

/// A server that answers the requests it gets, one after another, by a script; the last act repeats.
struct Hostile {
    address: SocketAddr,
    /// Head and body of every request, in the order of arrival.
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Hostile {
    async fn new(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (script.into_iter().collect::<Vec<_>>(), Arc::clone(&requests));
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, script.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, requests, connections }
    }

    fn ops_manager(&self) -> OpsManager {
        ops_manager(settings(&format!("http://{}", self.address)))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test has panicked").clone()
    }
}

async fn serve(stream: TcpStream, script: Vec<Act>, seen: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(request) = read_request(&mut stream).await else { return };
        let act = {
            let mut seen = seen.lock().expect("no test has panicked");
            seen.push(request);
            script.get(seen.len() - 1).or(script.last()).expect("a script has an act").clone()
        };
        // The client may leave at any time, which is what these tests are about.
        let _ = match act {
            Act::Say(text) => stream.write_all(text.as_bytes()).await,
            Act::Cut(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Act::Flood(head, more) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(more.as_bytes()).await.is_ok() {}
                return;
            }
            Act::Drip(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b" ").await.is_ok() {
                    real_clock().sleep(Duration::from_millis(50)).await;
                }
                return;
            }
            Act::Silence => std::future::pending().await,
        };
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let length =
        request.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(request + &String::from_utf8(body).ok()?)
}

fn reply(status: &str, headers: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn challenge() -> Act {
    let headers = "WWW-Authenticate: Digest realm=\"MMS Public API\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
    reply("401 Unauthorized", headers, r#"{"error":401,"reason":"Unauthorized"}"#)
}

/// What a GET and a PUT come to when the login goes well and then this happens.
async fn after_login(act: Act) -> (Failure, Failure) {
    let mut failures = Vec::new();
    for is_put in [false, true] {
        let server = Hostile::new([challenge(), act.clone()]).await;
        let mut settings = settings(&format!("http://{}", server.address));
        settings.request_timeout = Duration::from_millis(800);
        let manager = ops_manager(settings);
        failures.push(if is_put {
            manager.rotate(&target(), &|| None).await.expect_err("a failure")
        } else {
            manager.current_key(&target()).await.expect_err("a failure")
        });
        assert_eq!(server.requests().len(), 2, "a request is sent again after a challenge only");
    }
    let put = failures.pop().expect("two");
    (failures.pop().expect("one"), put)
}

async fn assert_uncertain(act: Act, reason: Reason) -> String {
    let (get, put) = after_login(act).await;
    assert_eq!((get.reason, get.verdict), (reason, Verdict::Transient), "{get}");
    assert_eq!((put.reason, put.verdict), (reason, Verdict::Ambiguous), "{put}");
    assert!(!get.detail.contains('\n') && get.detail.chars().count() <= 301, "{get}");
    get.detail
}

#[tokio::test]
async fn a_lost_reply_leaves_a_rotation_uncertain() {
    assert_uncertain(Act::Cut(String::new()), Reason::CutOff).await;
    assert_uncertain(Act::Cut("HTTP/1.1 200 O".into()), Reason::CutOff).await;
    assert_uncertain(Act::Silence, Reason::TimedOut).await;
    assert_uncertain(
        reply("500 Internal Server Error", "", r#"{"error":500,"errorCode":"UNEXPECTED_ERROR"}"#),
        Reason::ServerError,
    )
    .await;
    assert_uncertain(reply("502 Bad Gateway", "", "<html>\n<h1>Bad gateway</h1>"), Reason::ServerError).await;
    assert_uncertain(reply("503 Service Unavailable", "Retry-After: 5\r\n", "<html>busy</html>"), Reason::ServerError)
        .await;
    assert_uncertain(reply("429 Too Many Requests", "", ""), Reason::RateLimited).await;
    assert_uncertain(reply("408 Request Timeout", "", ""), Reason::ServerError).await;
    let detail =
        assert_uncertain(reply("302 Found", "Location: https://login.example/x?token=1\r\n", ""), Reason::Unreadable)
            .await;
    assert!(detail.contains("https://login.example") && !detail.contains("token"), "{detail}");
}

/// Whatever a proxy's page says, the manager has not spoken: nothing is settled, and it is no single target's trouble.
#[tokio::test]
async fn a_page_of_a_proxys_proves_nothing() {
    for (status, reason) in [
        ("403 Forbidden", Reason::Unreadable),
        ("404 Not Found", Reason::Unreadable),
        ("407 Proxy Authentication Required", Reason::Unreadable),
        ("409 Conflict", Reason::Unreadable),
        ("499 Client Closed Request", Reason::Unreadable),
        ("502 Bad Gateway", Reason::ServerError),
        ("504 Gateway Timeout", Reason::ServerError),
    ] {
        let (get, put) = after_login(reply(status, "", "<html>\n<h1>nginx</h1>")).await;
        assert_eq!((get.reason, get.verdict, get.scope), (reason, Verdict::Transient, Scope::Manager), "{get}");
        assert_eq!((put.reason, put.verdict, put.scope), (reason, Verdict::Ambiguous, Scope::Manager), "{put}");
        assert!(get.detail.contains("a proxy may have sent it"), "{get}");
    }
}

#[tokio::test]
async fn a_turned_away_rotation_is_no_rotation() {
    let busy =
        reply("503 Service Unavailable", "Retry-After: 7\r\n", r#"{"error":503,"reason":"Service Unavailable"}"#);
    let limited = reply("429 Too Many Requests", "Retry-After: 7\r\n", r#"{"error":429,"errorCode":"RATE_LIMITED"}"#);
    for act in [busy, limited] {
        let (get, put) = after_login(act).await;
        assert_eq!((get.verdict, put.verdict), (Verdict::Transient, Verdict::Transient));
        assert_eq!(put.retry_after_s, Some(7));
    }
}

#[tokio::test]
async fn a_key_is_believed_only_from_a_whole_and_sound_reply() {
    let whole = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n".to_owned();
    for (act, reason) in [
        (reply("200 OK", "", "<html>Welcome</html>"), Reason::Unreadable),
        (reply("200 OK", "", ""), Reason::Unreadable),
        (reply("200 OK", "", "{}"), Reason::Unreadable),
        (Act::Cut(part + "{\"encryptionKeyUUID\":\"ha"), Reason::CutOff),
        (Act::Drip("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n".into()), Reason::TimedOut),
        (Act::Flood(whole, " ".repeat(4096)), Reason::Unreadable),
        (Act::Flood("HTTP/1.1 200 OK\r\n".into(), "X-Padding: x\r\n".repeat(100)), Reason::CutOff),
        (Act::Say("220 smtp.example ESMTP\r\n\r\n".into()), Reason::CutOff),
    ] {
        let server = Hostile::new([challenge(), act]).await;
        let mut settings = settings(&format!("http://{}", server.address));
        settings.request_timeout = Duration::from_secs(2);
        let failure = ops_manager(settings).current_key(&target()).await.expect_err("no key");
        assert_eq!((failure.reason, failure.verdict), (reason, Verdict::Transient), "{failure}");
        assert_eq!(failure.scope, Scope::Target);
    }
}

#[tokio::test]
async fn a_rotation_is_accepted_by_any_2xx_whatever_follows() {
    for act in [
        reply("200 OK", "", ""),
        reply("201 Accepted", "", "{}"),
        reply("202 Accepted", "", "<html>"),
        Act::Say("HTTP/1.1 204 No Content\r\n\r\n".into()),
        Act::Cut("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{".into()),
    ] {
        let server = Hostile::new([challenge(), act]).await;
        let accepted = server.ops_manager().rotate(&target(), &|| None).await.expect("acceptance");
        assert!((200..=204).contains(&accepted.status));
    }
}

#[tokio::test]
async fn nothing_is_said_to_a_server_before_it_has_asked_for_a_login() {
    let server = Hostile::new([challenge(), reply("200 OK", "", "{}")]).await;
    server.ops_manager().rotate(&target(), &|| None).await.expect("acceptance");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let bare = requests[0].to_ascii_lowercase();
    assert!(bare.starts_with("put ") && bare.ends_with("\r\n\r\n") && !bare.contains("authorization"), "{bare}");
    assert!(requests[1].ends_with("\r\n\r\n{}"), "{}", requests[1]);
    assert!(!requests.concat().contains("apikey-1"));
}

#[tokio::test]
async fn basic_is_never_answered() {
    let server = Hostile::new([reply("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "")]).await;
    let failure = server.ops_manager().current_key(&target()).await.expect_err("refused");
    assert_eq!((failure.reason, failure.verdict), (Reason::CredentialsRefused, Verdict::Permanent));
    assert!(failure.detail.contains("Basic"), "{failure}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_missing_role_is_not_a_wrong_key() {
    let headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", qop=\"auth\"\r\n";
    let body = r#"{"error":401,"errorCode":"USER_UNAUTHORIZED","detail":"The current user is not authorized."}"#;
    let key = reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#);
    let server = Hostile::new([challenge(), key.clone(), reply("401 Unauthorized", headers, body), key]).await;
    let manager = server.ops_manager();
    manager.current_key(&target()).await.expect("a key");
    let failure = manager.rotate(&target(), &|| None).await.expect_err("refused");
    assert_eq!((failure.reason, failure.verdict), (Reason::RoleMissing, Verdict::Permanent));
    assert_eq!((failure.scope, failure.code.as_deref()), (Scope::Target, Some("USER_UNAUTHORIZED")));
    manager.current_key(&target()).await.expect("a key");
    assert_eq!(server.requests().len(), 4, "the login was good: neither it nor its nonce is given up");
}

/// Atlas puts an error code into every 401. A nonce that went stale is no missing role all the same.
#[tokio::test]
async fn a_stale_nonce_is_a_stale_nonce_whatever_the_body_says() {
    let headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", qop=\"auth\", stale=true\r\n";
    let body = r#"{"error":401,"errorCode":"USER_UNAUTHORIZED","reason":"Unauthorized"}"#;
    let key = reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#);
    let server = Hostile::new([challenge(), key.clone(), reply("401 Unauthorized", headers, body), key]).await;
    let manager = server.ops_manager();
    manager.current_key(&target()).await.expect("a key");
    manager.current_key(&target()).await.expect("a key, with the fresh nonce");
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests[3].contains("nonce=\"m\""), "{}", requests[3]);
}

#[tokio::test]
async fn nobody_listening_is_the_manager_and_no_rotation() {
    let told = Arc::new(Told::default());
    let settings = settings(&format!("http://{}", free_address()));
    let manager = OpsManager::new(settings, real_clock(), told.clone()).expect("usable settings");
    let failure = manager.rotate(&target(), &|| None).await.expect_err("no connection");
    assert_eq!((failure.reason, failure.verdict), (Reason::Unreachable, Verdict::Transient));
    assert_eq!(failure.scope, Scope::Manager);
    assert!(failure.detail.contains("refused"), "{failure}");
    assert_eq!(*told.0.lock().expect("no test has panicked"), [(Operation::RotateKey, RequestOutcome::NoReply)]);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_the_manager_and_no_rotation() {
    // Too long for a name: no resolver is asked.
    let url = format!("http://{}.invalid", "x".repeat(64));
    let failure = ops_manager(settings(&url)).rotate(&target(), &|| None).await.expect_err("no name");
    assert_eq!((failure.reason, failure.verdict), (Reason::Unreachable, Verdict::Transient));
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_set() {
    let proxy = Hostile::new([challenge(), reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let mut settings = settings("http://opsmanager.invalid");
    settings.proxy = Some(format!("http://{}", proxy.address));
    assert_eq!(ops_manager(settings).current_key(&target()).await.expect("a key").as_str(), "k");
    let requests = proxy.requests();
    assert!(requests[1].starts_with("GET http://opsmanager.invalid/api/public/"), "{}", requests[1]);
    assert!(requests[1].contains(&format!("uri=\"{KEY_PATH}\"")), "{}", requests[1]);
}

#[tokio::test]
async fn requests_leave_no_faster_than_allowed() {
    let server = Hostile::new([reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let mut settings = settings(&format!("http://{}", server.address));
    settings.requests_per_second = 10;
    let manager = ops_manager(settings);
    let clock = real_clock();
    for _ in 0..15 {
        manager.current_key(&target()).await.expect("a key");
    }
    assert!(clock.monotonic() >= Duration::from_millis(500), "ten at once, and five more at ten a second");
}

/// One request is told to wait: the next one is any other, to whatever target.
#[tokio::test]
async fn who_asks_to_be_left_alone_is_left_alone_by_all() {
    let busy = reply("503 Service Unavailable", "Retry-After: 1\r\n", r#"{"error":503,"reason":"Unavailable"}"#);
    let server = Hostile::new([busy, reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let manager = server.ops_manager();
    let clock = real_clock();
    manager.current_key(&target()).await.expect_err("busy");
    manager.current_key(&target()).await.expect("a key");
    assert!(clock.monotonic() >= Duration::from_secs(1), "asked again after {:?}", clock.monotonic());
}

/// When to come back for what was accepted holds up nobody else.
#[tokio::test]
async fn who_says_when_it_will_be_done_is_not_left_alone() {
    let accepted = reply("202 Accepted", "Retry-After: 20\r\n", "{}");
    let server = Hostile::new([accepted, reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let manager = server.ops_manager();
    let clock = real_clock();
    manager.rotate(&target(), &|| None).await.expect("acceptance");
    manager.current_key(&target()).await.expect("a key");
    assert!(clock.monotonic() < Duration::from_secs(15), "asked again after {:?}", clock.monotonic());
}

/// The settle time of a rotation runs from its record. A PUT that must wait for long does not leave at all.
#[tokio::test]
async fn a_rotation_does_not_leave_late() {
    let busy = reply("503 Service Unavailable", "Retry-After: 3600\r\n", r#"{"error":503,"reason":"Unavailable"}"#);
    let server = Hostile::new([busy.clone(), busy, reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let mut settings = settings(&format!("http://{}", server.address));
    settings.request_timeout = Duration::from_secs(1);
    settings.max_concurrent = 1;
    let manager = ops_manager(settings);
    manager.current_key(&target()).await.expect_err("busy");
    let target = target();
    let (first, second) = tokio::join!(manager.current_key(&target), manager.rotate(&target, &|| None));
    first.expect_err("busy again, after the server has been left alone for as long as a request may take");
    let failure = second.expect_err("too late");
    assert_eq!((failure.reason, failure.verdict), (Reason::RateLimited, Verdict::Transient), "{failure}");
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "the PUT has left");
}

/// What was forbidden while it waited does not leave: not when others went first, and not when the server has asked for a login
/// first. It is no request, and nothing is uncertain about it.
#[tokio::test]
async fn a_rotation_that_is_forbidden_meanwhile_does_not_leave() {
    let forbidden = AtomicBool::new(false);
    let objection = || forbidden.load(Ordering::SeqCst).then(|| "paused with *".to_owned());
    let server = Hostile::new([reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#)]).await;
    let mut settings = settings(&format!("http://{}", server.address));
    settings.requests_per_second = 1;
    let told = Arc::new(Told::default());
    let manager = OpsManager::new(settings, real_clock(), told.clone()).expect("usable settings");
    let target = target();
    manager.current_key(&target).await.expect("a key");
    let pause = async { forbidden.store(true, Ordering::SeqCst) };
    let (failure, ()) = tokio::join!(manager.rotate(&target, &objection), pause);
    let failure = failure.expect_err("a pause");
    assert_eq!((failure.reason, failure.verdict), (Reason::Withheld, Verdict::Transient), "{failure}");
    assert_eq!((failure.scope, failure.detail.as_str()), (Scope::Ourselves, "not sent: paused with *"));
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "the PUT has left");
    assert_eq!(*told.0.lock().expect("no test has panicked"), [(Operation::GetKey, RequestOutcome::Status(200))]);

    let server = Hostile::new([challenge(), reply("200 OK", "", "{}")]).await;
    let asked = AtomicUsize::new(0);
    let objection = || (asked.fetch_add(1, Ordering::SeqCst) > 0).then(|| "paused with *".to_owned());
    let failure = server.ops_manager().rotate(&target, &objection).await.expect_err("a pause");
    assert_eq!(failure.reason, Reason::Withheld);
    let requests = server.requests();
    assert!(requests.len() == 1 && !requests[0].to_ascii_lowercase().contains("authorization"), "{requests:?}");
}

#[tokio::test]
async fn an_observer_hears_of_each_call_once_and_how_it_ended() {
    let told = Arc::new(Told::default());
    let server =
        Hostile::new([challenge(), reply("200 OK", "", "{}"), reply("404 Not Found", "", r#"{"error":404}"#)]).await;
    let settings = settings(&format!("http://{}", server.address));
    let manager = OpsManager::new(settings, real_clock(), told.clone()).expect("usable settings");
    manager.rotate(&target(), &|| None).await.expect("acceptance");
    assert_eq!(manager.current_key(&target()).await.expect_err("gone").reason, Reason::NotFound);
    let expected =
        [(Operation::RotateKey, RequestOutcome::Status(200)), (Operation::GetKey, RequestOutcome::Status(404))];
    assert_eq!(*told.0.lock().expect("no test has panicked"), expected);
}

#[tokio::test]
async fn a_long_refusal_does_not_cost_the_connection() {
    let padding = " ".repeat(30_000);
    let headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    let key = reply("200 OK", "", r#"{"encryptionKeyUUID":"k"}"#);
    let server = Hostile::new([reply("401 Unauthorized", headers, &padding), key]).await;
    assert_eq!(server.ops_manager().current_key(&target()).await.expect("a key").as_str(), "k");
    assert_eq!((server.requests().len(), server.connections.load(Ordering::SeqCst)), (2, 1));
}
