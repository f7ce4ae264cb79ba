//! Sends alerts to their receivers, by one task for each. No other part of the daemon waits for one.
//!
//! Housekeeping publishes what fires ([`Tidings`]). A [`Courier`] compares that with what its receiver was told last and
//! sends the difference, so what happened while a receiver, or the daemon, was down is told afterwards, and a condition
//! that comes and goes in between is not. What a receiver took is recorded; it is told at least once, seldom twice.

mod alertmanager;
mod courier;
mod heartbeat;
mod item;
mod line;
mod post;
mod tidings;
mod webhook;

use std::sync::Arc;

use crate::domain::{AlertKind, AlertSubject, Period, ReceiverName};
use crate::ports::{Clock, DeliveryObserver, Notebook};

pub use courier::Courier;
pub use heartbeat::Heartbeat;
pub use post::{Address, SetupError, knock};
pub use tidings::{Firing, Tidings};

/// What identifies an alert.
pub type Key = (AlertKind, AlertSubject);

/// Alerts that one request carries: some 500 kB.
const AT_ONCE: usize = 500;

/// A receiver of alerts.
#[derive(Debug)]
pub struct Receiver {
    /// Its name in the configuration.
    pub name: ReceiverName,
    /// What it understands.
    pub form: Form,
    /// How to reach it.
    pub address: Address,
}

/// What a receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Alertmanager's webhook, version 4. News only, and no two deliveries within `every`.
    Webhook {
        /// The least time between two deliveries.
        every: Period,
    },
    /// Alertmanager's own `/api/v2/alerts`. All that fires is told again after `resend_every`.
    Alertmanager {
        /// The time between two tellings of the same.
        resend_every: Period,
    },
}

/// What every courier needs.
#[derive(Clone)]
pub struct Desk {
    /// The label `instance`: which daemon speaks.
    pub instance: Arc<str>,
    /// The address of the runbook; none if it is not set.
    pub runbook: Option<Arc<str>>,
    /// For time-outs and pauses.
    pub clock: Arc<dyn Clock>,
    /// Where deliveries are recorded.
    pub notebook: Arc<dyn Notebook>,
    /// Where requests are counted.
    pub observer: Arc<dyn DeliveryObserver>,
    /// Whether the daemon's life before this one left no record of its end: it was killed, or could not write.
    pub cut_off: bool,
}
