//! What a rehearsal says: a line for each step, with how it went and what to do next.

use crate::alerts::{About, against};
use crate::domain::{Failure, ManagerName};

/// How one step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was tried.
    pub step: Step,
    /// The manager; none for what belongs to the machine.
    pub manager: Option<ManagerName>,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, in one sentence.
    pub words: String,
    /// What to do, as an imperative; none where there is nothing to do.
    pub next: Option<String>,
}

/// How a step went, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Not tried, because it makes no sense or an earlier step failed. Nothing is known.
    Skip,
    /// As it should be.
    Pass,
    /// It works, and should be looked at.
    Warn,
    /// It does not work.
    Fail,
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The steps of a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// The configuration file.
    Config,
    /// The state directory: its right to be written, its room, its file system.
    State,
    /// Who works in the state directory.
    Lock,
    /// The ledger.
    Ledger,
    /// Who signs the ledger's checkpoints, and the file that they go to.
    Checkpoints,
    /// The socket that takes orders, and the group that may give them.
    Control,
    /// The address that the daemon listens at.
    Listener,
    /// The listener's TLS and users.
    WebConfig,
    /// Our own API key.
    Credential,
    /// The manager's name.
    Dns,
    /// A connection to it.
    Tcp,
    /// The certificates of both sides.
    Tls,
    /// Whether the manager lets our API key in.
    Login,
    /// The manager's version.
    Version,
    /// The manager's clock against ours.
    Clock,
    /// Whether it lets our address in.
    AccessList,
    /// Each project.
    Projects,
    /// Each target's key.
    Targets,
    /// What governs each key.
    Mechanism,
    /// The roles of our API key.
    Roles,
    /// A receiver of alerts.
    Receiver,
    /// What the next seven days bring.
    Week,
}

impl Step {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub(super) fn pass(self, words: impl Into<String>) -> Line {
        Line { step: self, manager: None, outcome: Outcome::Pass, words: words.into(), next: None }
    }

    pub(super) fn skip(self, words: impl Into<String>) -> Line {
        Line { outcome: Outcome::Skip, ..self.pass(words) }
    }

    pub(super) fn warn(self, words: impl Into<String>, next: impl Into<String>) -> Line {
        Line { outcome: Outcome::Warn, next: Some(next.into()), ..self.pass(words) }
    }

    pub(super) fn fail(self, words: impl Into<String>, next: impl Into<String>) -> Line {
        Line { outcome: Outcome::Fail, ..self.warn(words, next) }
    }

    pub(super) fn failed(self, failure: &Failure) -> Line {
        // What fails at any other step is in the way of the whole manager.
        let about = if self == Self::Projects {
            About::Project
        } else if self == Self::Targets {
            About::Target
        } else {
            About::Manager
        };
        self.fail(failure.to_string(), against(about, failure.reason))
    }
}
