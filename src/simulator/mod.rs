//! A make-believe Ops Manager, for the demonstration, for rehearsals and for tests.
//!
//! It speaks the part of the public API v1.0 that has to do with backup keys, logs callers in by HTTP Digest, and can
//! be told to fail in every way that we could think of. It keeps the truth: what really happened to every key,
//! whatever the client heard of it. Nothing here is shared with the client side of this crate, and its digest check
//! is its own: a mistake made on both sides would cancel out.
//!
//! # The API, below `/api/public/v1.0`
//!
//! | method and path | answer |
//! | --- | --- |
//! | `GET /` | the root resource |
//! | `GET /groups`, `/groups/{id}`, `/groups/byName/{name}` | projects |
//! | `GET /groups/{id}/clusters`, `…/clusters/{id}` | replica sets, and sharded clusters with all their members |
//! | `GET /groups/{id}/backupConfigs`, `…/backupConfigs/{id}` | how each is backed up |
//! | `GET /groups/{id}/backupConfigs/{id}/encryptionKey` | the id of the current master key |
//! | `PUT /groups/{id}/backupConfigs/{id}/encryptionKey` | 201 and `{}`: a new master key, now or later |
//! | `GET /admin/apiKeys`, `/orgs/{id}/apiKeys`, `/groups/{id}/apiKeys` | who may come in, to callers with a role for it |
//! | `GET /admin/accessList`, `/orgs/{id}/apiKeys/{id}/accessList` | from where |
//!
//! All take `pretty` and `envelope`; lists take `pageNum` and `itemsPerPage`.
//!
//! # The simulator's own routes, below `/_sim`, without a login
//!
//! | method and path | answer |
//! | --- | --- |
//! | `GET /truth` | the [`Truth`] as JSON |
//! | `GET /targets` | `[{"id", "project", "name"}]` |
//! | `GET /faults` | the faults in force, as texts |
//! | `POST /faults` | replaces them: `["cut-after:0.1", "hang:ledger-*:1"]` |
//! | `POST /foreign-rotation/{target}` | someone else rotates that key; the target by id or by name |
//! | `POST /regression/{target}` | that key falls back to an earlier one |
//! | `POST /switches` | `{"down": true}` drops every API request, `{"wrong_password": true}` refuses every login |
//!
//! # Faults
//!
//! A [`Fault`] is a kind, a scope, a glob over targets and an amount; [`FaultKind::ALL`] lists the kinds, and the text
//! form is `KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]`, where the scope is one of `get`, `put`, `key`, `list` and `any`,
//! and the amount is a number of times (`3`), a probability (`0.1`, `10%`), or both (`0.1x3`).
//!
//! ```
//! let fault: rekeyd::simulator::Fault = "slow@get=2s:billing/*:50%".parse()?;
//! assert_eq!(fault.target, "billing/*");
//! # Ok::<(), rekeyd::simulator::FaultError>(())
//! ```

mod access;
mod api;
mod board;
mod call;
mod chance;
mod clock;
mod control;
mod deed;
mod digest;
mod exchange;
mod fault;
mod fault_text;
mod fleet;
mod gate;
mod keys;
mod layout;
mod login;
mod obstacles;
mod payload;
mod reply;
mod resource;
mod respond;
mod server;
mod spec;
mod state;
mod truth;
mod world;

pub use access::{AccessSpec, ApiKeySpec, Grant, ORGANIZATION};
pub use api::AGENT_API_KEY_PREFIX;
pub use fault::{Amount, Fault, FaultKind, Scope};
pub use fault_text::FaultError;
pub use fleet::{Backup, BackupStatus, ClusterSpec, ConfigServer, FleetSpec, Governance, ProjectSpec, Topology};
pub use gate::{Challenge, DigestRules, NonceCount, QopOffer};
pub use keys::{KeyTiming, KeyTimingError};
pub use server::{Simulator, TargetInfo};
pub use spec::{Credentials, PutReply, SimulatorSpec};
pub use truth::{Cause, KeyChange, KeyPeriod, Put, PutOutcome, RequestCounts, TargetTruth, Truth};
