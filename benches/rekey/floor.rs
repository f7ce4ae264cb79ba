//! The floor: what the wire and the disk allow. The same requests with no logic and no record, and the same commits with
//! nothing around them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const USER: &str = "simulator";
pub(crate) const CONNECTIONS: usize = 64;

/// How long it takes to look at each key, rotate it and look again, over 64 connections side by side that keep their
/// nonces: text written into sockets by hand, on one thread.
pub(crate) fn requests(server: SocketAddr, key: &str, paths: &Arc<Vec<String>>) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    runtime.block_on(async {
        let mut lines = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (paths, next, key) = (Arc::clone(paths), Arc::clone(&next), key.to_owned());
            lines.spawn(async move {
                let mut line = Line::open(server, &key).await;
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for method in ["GET", "PUT", "GET"] {
                        line.ask(method, path).await;
                    }
                }
            });
        }
        while let Some(line) = lines.join_next().await {
            line.unwrap();
        }
    });
    began.elapsed()
}

/// A connection with a login: Digest with MD5 (RFC 7616), one nonce, counted up.
struct Line {
    stream: TcpStream,
    host: SocketAddr,
    secret: String,
    nonce: String,
    count: u32,
    reply: Vec<u8>,
}

impl Line {
    async fn open(host: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let secret = md5(&format!("{USER}:MMS Public API:{key}"));
        Self { stream, host, secret, nonce: String::new(), count: 0, reply: Vec::new() }
    }

    async fn ask(&mut self, method: &str, path: &str) {
        if self.nonce.is_empty() {
            let challenge = self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host)).await;
            let (_, nonce) = challenge.split_once("nonce=\"").expect("a challenge");
            self.nonce = nonce.split_once('"').unwrap().0.to_owned();
        }
        self.count += 1;
        let (nonce, count, host) = (&self.nonce, self.count, self.host);
        let asked = md5(&format!("{method}:{path}"));
        let response = md5(&format!("{}:{nonce}:{count:08x}:c:auth:{asked}", self.secret));
        let body = if method == "PUT" { "{}" } else { "" };
        let length = body.len();
        let head = self
            .send(&format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\
                 Authorization: Digest username=\"{USER}\", realm=\"MMS Public API\", nonce=\"{nonce}\", uri=\"{path}\", \
                 qop=auth, nc={count:08x}, cnonce=\"c\", response=\"{response}\", algorithm=MD5\r\n\r\n{body}"
            ))
            .await;
        assert!(head.starts_with("HTTP/1.1 20"), "{head}");
    }

    /// Sends a request and reads the reply to its end; the head of it.
    async fn send(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.reply.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.reply).await.unwrap() > 0, "the server hung up");
            let Some(end) = self.reply.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.reply[..end]).into_owned();
            let length = head.to_ascii_lowercase();
            let length = length.split_once("content-length: ").map_or("0", |(_, rest)| rest.lines().next().unwrap());
            if self.reply.len() >= end + 4 + length.trim().parse::<usize>().unwrap() {
                return head;
            }
        }
    }
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long SQLite alone takes for so many rows in so many durable commits.
pub(crate) fn commits(dir: &Path, rows: u64, commits: u64) -> Duration {
    let path = dir.join("floor.db");
    let _ = std::fs::remove_file(&path);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE floor (seq INTEGER PRIMARY KEY, row BLOB)",
    )
    .unwrap();
    let row = [7_u8; 400];
    let began = Instant::now();
    let mut insert = conn.prepare("INSERT INTO floor VALUES (?, ?)").unwrap();
    let mut written = 0;
    for commit in 1..=commits {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        while written < rows * commit / commits {
            written += 1;
            insert.execute((written, row)).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    began.elapsed()
}
