//! Plain values and the rules that hold between them: no async, no I/O, no clock, no chance.
//!
//! The heart is [`Fleet`]: everything known, folded from [`Event`]s. The ledger stores the events, the engine and the store
//! fold them by the same code, and so the three cannot disagree.

mod alert;
mod api_key;
mod decision;
mod event;
mod failure;
mod fleet;
mod freeze;
mod glob;
mod hex;
mod history;
mod ids;
mod ledger;
mod moment;
mod order;
mod period;
mod query;
mod receiver;
mod record;
mod retry_after;
mod rotation;
#[cfg(test)]
pub(crate) mod sample;
mod span;
mod target;

pub use alert::{AlertKind, AlertSubject};
pub use api_key::{ApiKey, ApiKeyRecord, Excess, Grant, Power, Reach, power};
pub use decision::{Decision, Planned, WaitReason};
pub use event::{Actor, Entry, Event, KeyChange, Stage, UnknownEvent, microsecond};
pub(crate) use event::{of_a_target, of_no_target};
pub use failure::{Failure, Reason, Scope, Trouble, Verdict};
pub use fleet::{Change, ClockStep, Contradiction, Credential, Fleet, Folded, ManagerRecord};
pub use freeze::{Freeze, OrderedFreeze};
pub use glob::Glob;
pub use hex::hex;
pub use history::{KeyLife, KeyOrigin, KeyUse, LedgerRow, RotationRow};
pub use ids::{
    ApiKeyId, ClusterId, KeyId, ManagerName, NAME_RULE, OrganizationId, PolicyName, ProjectId, ReceiverName, TargetId,
    TargetName, is_name,
};
pub use ledger::OnCheckpointFailure;
pub use moment::{Moment, NoMoment};
pub use order::{Caller, Pause, Request};
pub use period::{Period, PeriodError};
pub use query::{Cursor, LedgerFilter, RotationFilter, Selection};
pub use receiver::{ReceiverRecord, Saying, Told};
pub use record::{KeyRecord, TargetRecord};
pub use retry_after::retry_after;
pub use rotation::{How, Phase, Rotation, RotationId, State, Transition, Unconfirmed};
pub use span::Span;
pub use target::{Gap, Governance, Listing, Mechanism, ProjectSelector, Refusal, Role, Sighting, Standing, Target};
