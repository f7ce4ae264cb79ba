//! One who is told of alerts: keeps every request, and answers as a test wants.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A receiver on a free port of loopback; it ends with the test's runtime.
pub(crate) struct OnCall {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    status: u16,
    /// A header that goes with it, or none.
    header: String,
    requests: Vec<Request>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its first line.
    pub(crate) head: String,
    /// Its headers, a line each.
    lines: Vec<String>,
    body: Value,
    /// The status that it was answered with.
    answered: u16,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&String| line.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.lines.iter().find(named).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }
}

impl OnCall {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { status: 200, ..State::default() }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers with this status from now on; 0: not at all.
    pub(crate) fn answer(&self, status: u16) {
        self.state.lock().unwrap().status = status;
    }

    /// Answers with this status and this header from now on.
    pub(crate) fn answer_with(&self, status: u16, header: &str) {
        let mut state = self.state.lock().unwrap();
        (state.status, state.header) = (status, format!("{header}\r\n"));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The bodies of all requests.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.requests().into_iter().map(|request| request.body).collect()
    }

    /// The bodies of those that were answered well.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.requests().into_iter().filter(|request| request.answered == 200).map(|request| request.body).collect()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 16384];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return,
        }
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = text.split("\r\n").map(str::to_owned);
        let head = lines.next().unwrap();
        let mut request = Request { head, lines: lines.collect(), body: Value::Null, answered: 0 };
        let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let Some(body) = bytes.get(end + 4..end + 4 + length) else { continue };
        if length > 0 {
            request.body = serde_json::from_slice(body).unwrap();
        }
        bytes.drain(..end + 4 + length);
        let (status, header) = {
            let mut state = state.lock().unwrap();
            request.answered = state.status;
            state.requests.push(request);
            (state.status, state.header.clone())
        };
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let reply = format!("HTTP/1.1 {status} x\r\n{header}Content-Length: 0\r\n\r\n");
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
