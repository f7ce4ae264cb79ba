//! What the engine needs from outside, and what the rooms that show things need from the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    ApiKey, Caller, Contradiction, Cursor, Entry, Event, Failure, Fleet, Gap, KeyId, KeyRecord, KeyUse, LedgerFilter,
    LedgerRow, ManagerName, ProjectId, Reach, ReceiverName, RotationFilter, RotationRow, Sighting, Target, TargetId,
};

/// The wall clock and the passing of time. Nothing below `app` knows another.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time of day, in UTC; may step in either direction.
    fn now(&self) -> Timestamp;

    /// Time since some start, which never steps back; for time-outs and rates.
    fn monotonic(&self) -> Duration;

    /// Returns after this long by the monotonic clock.
    async fn sleep(&self, length: Duration);
}

/// One manager's keys: reading, rotating, and listing what has one.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// Lists every target of the wanted projects.
    async fn discover(&self) -> Result<Discovery, Failure>;

    /// Reads the id of the key that the target uses now.
    async fn current_key(&self, target: &Target) -> Result<KeyId, Failure>;

    /// Asks for a new key, once: never repeated below this call. Acceptance proves nothing.
    ///
    /// `objection` is asked right before anything leaves, however long the request had to wait for that, and again before each
    /// answer to a challenge. If it objects nothing more is sent, and the failure says so, with [`Scope::Ourselves`](crate::domain::Scope::Ourselves).
    async fn rotate(&self, target: &Target, objection: Objection<'_>) -> Result<Accepted, Failure>;
}

/// Says why a request may not leave at this moment; none if it may.
pub type Objection<'a> = &'a (dyn Fn() -> Option<String> + Send + Sync);

/// Who may come in at one manager. Reading only.
#[async_trait]
pub trait Access: Send + Sync {
    /// Logs in and asks for nothing. An error: there was no reply, or none that could be understood.
    async fn greet(&self) -> Result<Greeting, Failure>;

    /// Lists the API keys: the global ones, and those of the organizations and projects that are managed. An error: the
    /// manager as a whole cannot be asked.
    async fn api_keys(&self) -> Result<Inventory, Failure>;

    /// The addresses from which a key may come, as the server writes them; none at all where any may.
    async fn access_list(&self, key: &ApiKey) -> Result<Vec<String>, Failure>;
}

/// What the first reply tells of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Whether it lets our API key in.
    pub login: Result<(), Failure>,
    /// The server's own version, where it tells.
    pub server_version: Option<String>,
    /// The server's clock, to the second, where it tells.
    pub server_time: Option<Timestamp>,
    /// The certificate that it showed, in DER; none without TLS.
    pub certificate: Option<Vec<u8>>,
}

/// The API keys of a manager, as far as its lists could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Each once, whatever the number of lists that name it, in the order of the ids.
    pub keys: Vec<ApiKey>,
    /// The lists that were read in full.
    pub read: BTreeSet<Reach>,
    /// The lists that were not, and why. What could be read of them is there.
    pub unread: BTreeMap<Reach, Failure>,
}

/// The server took a rotation in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The HTTP status.
    pub status: u16,
}

/// One listing of a manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Every replica set that the projects hold, fit for rotation or not.
    pub sightings: Vec<Sighting>,
    /// Sharded clusters without config servers.
    pub gaps: Vec<Gap>,
    /// Projects whose listing failed, holds entries that cannot be read or lacks some that the server promised: that a target
    /// of theirs is missing here says nothing.
    pub unread: Vec<UnreadProject>,
    /// The server's own version, where it tells.
    pub server_version: Option<String>,
}

/// A project that could not be listed, or not in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadProject {
    /// The project's id; none where the list of projects itself is not whole: then it may be any that is not on it.
    pub id: Option<ProjectId>,
    /// What the configuration or the server calls it.
    pub name: String,
    /// Why.
    pub failure: Failure,
}

/// The durable record.
///
/// When a call has succeeded, what it recorded is on disk. When one has failed, its entries may be there or not: a commit can be
/// reported as failed and have been written. The next call that succeeds tells.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends the entries to the ledger, all or none, with everything that follows from them. Durable on return.
    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError>;

    /// Notes that keys were seen unchanged at these times. No ledger record; may be lost in a power cut.
    async fn seen_again(&self, sightings: Vec<(TargetId, Timestamp)>) -> Result<(), JournalError>;

    /// When a key was used by the target before its present one; none if it never was.
    async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError>;

    /// Everything known, as of the newest durable record.
    fn fleet(&self) -> Arc<Fleet>;

    /// The newest record.
    fn head(&self) -> Head;
}

/// The newest record of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty ledger.
    pub seq: u64,
    /// Its hash; the ledger's id for an empty ledger.
    pub hash: [u8; 32],
}

/// Why the record could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The event cannot follow from what is known; trying again is useless.
    #[error(transparent)]
    Impossible(#[from] Contradiction),
    /// The disk is full.
    #[error("no space left for the ledger: {0}")]
    Full(String),
    /// The database may not be written.
    #[error("the ledger is read-only: {0}")]
    ReadOnly(String),
    /// Anything else that keeps the database from being written.
    #[error("the ledger could not be written: {0}")]
    Io(String),
    /// The writer has ended.
    #[error("the ledger is closed")]
    Closed,
}

/// Is told of everything that happens, for logs and counters. Must not block.
pub trait Observer: Send + Sync {
    /// Entries were recorded durably.
    fn recorded(&self, entries: &[Entry]);

    /// A record could not be made.
    fn record_failed(&self, error: &JournalError);

    /// A rotation was done so long after its intent.
    fn rotation_took(&self, length: Duration);
}

/// Is told of every request that a key service makes. Must not block.
pub trait RequestObserver: Send + Sync {
    /// A request to `manager` ended with `outcome` after `took`.
    fn requested(&self, manager: &ManagerName, operation: Operation, outcome: RequestOutcome, took: Duration);
}

/// The kinds of request, as the label `operation` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// A page of a listing.
    List,
    /// Reading a key.
    GetKey,
    /// Rotating a key.
    RotateKey,
}

impl Operation {
    /// Every operation.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// With this HTTP status.
    Status(u16),
    /// Without a reply.
    NoReply,
}

/// What the engine shows to whoever asks: metrics, health, pages. Never blocks for long.
pub trait Gauge: Send + Sync {
    /// The state of affairs now.
    fn read(&self) -> Situation;
}

/// The way in for operators' orders: what they decide is recorded as theirs, and the next plan follows it.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Makes the events durable, all or none, as this person's doing, and lets a plan be made at once.
    async fn order(&self, by: &Caller, events: Vec<Event>) -> Result<(), JournalError>;

    /// Has the keys of these targets looked at as soon as there is room. Not durable: a restart looks by itself.
    fn look_at(&self, targets: Vec<TargetId>);
}

/// Reading the configuration again.
#[async_trait]
pub trait Reload: Send + Sync {
    /// Puts the configuration in force that the files hold now, and says in words what has changed. Running rotations end
    /// as they began. What cannot be followed is refused as a whole, and the former one stays.
    async fn reload(&self, by: Option<Caller>) -> Result<Vec<String>, ReloadError>;
}

/// Why the configuration was not put in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What the files hold is wrong: this, in words.
    #[error("{0}")]
    Invalid(String),
    /// What a running daemon cannot change, in words. A restart can.
    #[error("{0}")]
    WantsRestart(String),
    /// The change could not be made durable.
    #[error("the change cannot be recorded, and so is not made: {0}")]
    Unrecorded(#[from] JournalError),
    /// A bug.
    #[error("reading it again ended by a panic: this is a bug")]
    Panicked,
}

/// Where others than the engine have things recorded: what began, what ended, who was told.
#[async_trait]
pub trait Notebook: Gauge {
    /// Makes the events durable, all or none.
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError>;
}

/// Is told of every request to a receiver of alerts. Must not block.
pub trait DeliveryObserver: Send + Sync {
    /// A request to `receiver` ended with `outcome`.
    fn delivered(&self, receiver: &ReceiverName, outcome: RequestOutcome);
}

/// The state of affairs at one moment.
#[derive(Clone, Debug)]
pub struct Situation {
    /// When this was taken.
    pub now: Timestamp,
    /// Everything known.
    pub fleet: Arc<Fleet>,
    /// The newest record of the ledger.
    pub head: Head,
    /// Since when, and why, the ledger cannot be written; no PUT leaves while it cannot.
    pub unwritable: Option<(Timestamp, String)>,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// From when a round of looks at each manager's keys is counted, since it last came back from an outage in this life of the
    /// daemon, or the ledger did. A round that another outage had interrupted is counted on.
    pub recovered: BTreeMap<ManagerName, Timestamp>,
    /// When the newest plan was made, or found as good as new; none before the first.
    pub last_sweep: Option<Timestamp>,
    /// By the monotonic clock, how long ago that was, or how long the first is overdue.
    pub since_sweep: Duration,
    /// What the daemon knows of itself beside the engine; none for whoever reads the record without it.
    pub upkeep: Option<Upkeep>,
}

/// What the daemon knows of its ledger and its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// What the check of the whole ledger came to.
    pub check: Check,
    /// How far the ledger is anchored.
    pub anchor: Anchor,
    /// Why the newest reading of the configuration was refused; none if it was not.
    pub refused: Option<Refusal>,
}

/// Why a reading of the configuration was refused, in words; and so what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Something is wrong with it.
    Wrong(String),
    /// A running daemon cannot change so much.
    WantsRestart(String),
    /// It is another's fault than the configuration's.
    Hindered(String),
}

impl Refusal {
    /// In words.
    pub fn words(&self) -> &str {
        match self {
            Self::Wrong(words) | Self::WantsRestart(words) | Self::Hindered(words) => words,
        }
    }
}

impl From<&ReloadError> for Refusal {
    fn from(error: &ReloadError) -> Self {
        let words = error.to_string();
        match error {
            ReloadError::Invalid(_) => Self::Wrong(words),
            ReloadError::WantsRestart(_) => Self::WantsRestart(words),
            ReloadError::Unrecorded(_) | ReloadError::Panicked => Self::Hindered(words),
        }
    }
}

/// What happened to single targets, read from the durable record for people. Waits for a disk.
pub trait Archive: Send + Sync {
    /// At most `limit` rotations and `limit` keys of a target, the newest of each, as of one moment.
    fn past(&self, target: &TargetId, limit: u32) -> Result<Past, ArchiveError>;

    /// The newest `limit` rotations that pass the filter.
    fn rotations(&self, filter: &RotationFilter, limit: u32) -> Result<Page<RotationRow>, ArchiveError>;

    /// The newest `limit` records of the ledger that pass the filter.
    fn records(&self, filter: &LedgerFilter, limit: u32) -> Result<Page<LedgerRow>, ArchiveError>;
}

/// What the newest check of the whole ledger came to. There is one at each start, and one a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// It is under way, or was not begun.
    #[default]
    Pending,
    /// The ledger holds.
    Whole {
        /// So many records were checked.
        records: u64,
    },
    /// It does not hold.
    Broken {
        /// Where, and what is wrong.
        why: String,
    },
    /// It could not be checked: a file cannot be read, or there is no room to work in.
    Unchecked {
        /// What stands in the way.
        why: String,
    },
}

/// A part of an answer, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The newest first.
    pub rows: Vec<T>,
    /// What is behind; none if that is certain to be nothing.
    pub next: Option<Cursor>,
}

/// How far the ledger is anchored outside of itself, by signed checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// The number of the newest record that wants a checkpoint; 0 before the first.
    pub wanted: u64,
    /// The record of the newest checkpoint that was written; 0 before the first.
    pub written: u64,
    /// Why the newest one could not be written.
    pub failure: Option<String>,
    /// The verifier key of who signs; none if nobody does.
    pub key: Option<String>,
}

/// What happened to one target, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Its rotations, by when they began.
    pub rotations: Vec<RotationRow>,
    /// Its keys, by when they came.
    pub keys: Vec<KeyUse>,
}

/// Why the past cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the history cannot be read: {0}")]
pub struct ArchiveError(pub String);
