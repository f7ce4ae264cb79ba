//! Those who are told of alerts, and what each of them was told. How they are told is left to `alerts`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::alert::{AlertKind, AlertSubject};

/// What is known of one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverRecord {
    /// Since when, and why, it cannot be reached.
    pub failing: Option<(Timestamp, String)>,
    /// The alerts whose beginning it took, and whose end it did not.
    pub told: BTreeMap<(AlertKind, AlertSubject), Told>,
}

/// An alert as a receiver knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it began, as it was told.
    pub since: Timestamp,
    /// What its subject was called then. The end is told by the same name, or a receiver would not know which alert ends.
    pub name: String,
}

/// One alert in a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saying {
    /// Of what kind.
    pub alert: AlertKind,
    /// What it is about.
    pub subject: AlertSubject,
    /// When it began.
    pub since: Timestamp,
    /// What the subject is called.
    pub name: String,
}

impl ReceiverRecord {
    /// Takes in what it was told.
    pub fn hear(&mut self, firing: &[Saying], resolved: &[Saying]) {
        for saying in firing {
            let told = Told { since: saying.since, name: saying.name.clone() };
            self.told.insert((saying.alert, saying.subject.clone()), told);
        }
        for saying in resolved {
            self.told.remove(&(saying.alert, saying.subject.clone()));
        }
    }
}
