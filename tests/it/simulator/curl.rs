//! curl as a client: `curl --digest`, its exit status, and every response that it saw.

use std::process::Command;

use rekeyd::simulator::Simulator;
use serde_json::Value;

/// What one run of curl came to.
#[derive(Debug)]
pub(crate) struct Curl {
    /// 0: it got an answer. 7: refused, 18: cut off in the middle, 28: too late, 52: no answer.
    pub(crate) exit: i32,
    /// The status of every response, challenges included.
    pub(crate) statuses: Vec<u16>,
    /// The head of the last response.
    pub(crate) head: String,
    /// The body of the last response.
    pub(crate) body: String,
}

impl Curl {
    pub(crate) fn status(&self) -> u16 {
        *self.statuses.last().unwrap_or_else(|| panic!("no response: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a header of the last response.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Logs in as the simulator wants it.
pub(crate) async fn curl(simulator: &Simulator, arguments: &[&str]) -> Curl {
    let login = simulator.credentials();
    let user = format!("{}:{}", login.public_key, login.private_key);
    let mut all = vec!["--digest", "--user", &user];
    all.extend(arguments);
    bare_curl(&all).await
}

/// Without a login.
pub(crate) async fn bare_curl(arguments: &[&str]) -> Curl {
    let mut command = Command::new("curl");
    command.args(["--silent", "--include", "--noproxy", "*", "--max-time", "20"]);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap();
    let output = output.expect("curl is missing: run tests/setup.sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut statuses, mut head, mut body) = (Vec::new(), "", text.as_str());
    while let Some(status) = body.strip_prefix("HTTP/1.1 ") {
        statuses.push(status[..3].parse().unwrap());
        (head, body) = body.split_once("\r\n\r\n").unwrap_or((body, ""));
    }
    Curl { exit: output.status.code().unwrap_or(-1), statuses, head: head.to_owned(), body: body.to_owned() }
}
