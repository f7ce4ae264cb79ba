//! Orders of people: who gave them, and what stands of them until they are carried out or over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who gave an order, as the kernel told of the process at the other end of the socket (unix(7), `SO_PEERCRED`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// The process; 0 if the kernel did not tell.
    pub pid: i32,
    /// What the system calls the user, if it knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who logged in and then became that user, by `sudo` for example. As the command itself tells: root can tell anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

impl Caller {
    /// For people: the name where there is one, and who is behind it.
    pub fn name(&self) -> String {
        let user = self.user.clone().unwrap_or_else(|| format!("uid {}", self.uid));
        match &self.login {
            Some(login) if *login != user => format!("{user} ({login})"),
            Some(_) | None => user,
        }
    }
}

/// A rotation that a person asked for: the slot is due whatever its date, until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// When it was first asked for.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: Caller,
    /// Whether it goes on in spite of pauses and of the hours of the policy.
    pub overrides: bool,
}

/// A stretch of time in which nothing is sent to some targets, by a person's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// By whose order.
    pub by: Caller,
}
