//! How often, when and how loud: the settings of a policy.

use std::fmt;

use jiff::Timestamp;

use super::cron::Cron;
use super::window::Windows;
use crate::domain::{Period, PolicyName};

/// How often, when and how loud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name in the configuration.
    pub name: PolicyName,
    /// From one rotation to the next.
    pub rhythm: Rhythm,
    /// Over what time the slots of many targets are spread.
    pub spread: Spread,
    /// When an attempt may begin. What is sent is confirmed at any time.
    pub windows: Windows,
    /// Whether a key older than `alert_after` waits for no window. Freezes hold it all the same.
    pub max_age_overrides_window: bool,
    /// A key strictly older than this raises an alert.
    pub alert_after: Period,
    /// What a target seen for the first time, its key's age unknown, waits for.
    pub first_rotation: FirstRotation,
    /// How long after an accepted PUT a GET may take to show the new key.
    pub confirm_within: Period,
    /// How long after a PUT of unknown outcome no second one may leave. Longer than the request time-out.
    pub settle: Period,
    /// After so many failed attempts at one slot the target is quarantined.
    pub max_attempts: u32,
    /// The time between two looks at a target's key.
    pub observe_every: Period,
    /// Which of a cluster's members that are due goes first.
    pub member_order: MemberOrder,
    /// Whether a member whose attempt failed keeps the others of its cluster waiting until it is rotated.
    pub stop_cluster_on_failure: bool,
}

/// From one rotation to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// So long after the last one.
    Every(Period),
    /// At the next time that a calendar names.
    Cron(Box<Cron>),
}

impl Rhythm {
    /// The earliest moment of the slot that follows a key which came at `since`.
    pub fn after(&self, since: Timestamp) -> Timestamp {
        match self {
            Self::Every(period) => period.after(since),
            Self::Cron(cron) => cron.after(since),
        }
    }

    /// The shortest time between two slots: the measure of spreads and of patience.
    pub fn shortest(&self) -> Period {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => cron.shortest(),
        }
    }

    /// The longest time between two slots, without their spread.
    pub fn longest(&self) -> Period {
        match self {
            Self::Every(period) => *period,
            Self::Cron(cron) => cron.longest(),
        }
    }
}

impl From<Period> for Rhythm {
    fn from(period: Period) -> Self {
        Self::Every(period)
    }
}

impl fmt::Display for Rhythm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {period}"),
            Self::Cron(cron) => cron.fmt(f),
        }
    }
}

/// Which of a cluster's members that are due goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MemberOrder {
    /// The shards by their due times, then the config servers.
    ConfigServersLast,
    /// The config servers, then the shards by their due times.
    ConfigServersFirst,
    /// By their due times alone.
    OldestFirst,
}

impl MemberOrder {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Over what time slots are spread behind their earliest moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// So many hundredths of the interval, or of the shortest one that a calendar has; at most 100.
    Percent(u8),
    /// This long.
    Fixed(Period),
}

impl Spread {
    /// In seconds, for the shortest time between two slots.
    pub fn as_secs(self, shortest: Period) -> u64 {
        match self {
            Self::Percent(percent) => shortest.as_secs() * u64::from(percent) / 100,
            Self::Fixed(period) => period.as_secs(),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Fixed(period) => period.fmt(f),
        }
    }
}

/// What a target whose key's age is unknown waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FirstRotation {
    /// Its place in one interval, by its hash.
    Spread,
    /// Nothing.
    Now,
}

impl FirstRotation {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Policy {
    /// The settings that the shipped configuration file shows.
    pub fn with_defaults(name: PolicyName) -> Self {
        Self {
            name,
            rhythm: Rhythm::Every(Period::days(30)),
            spread: Spread::Percent(10),
            windows: Windows::any(),
            max_age_overrides_window: false,
            alert_after: Period::days(90),
            first_rotation: FirstRotation::Spread,
            confirm_within: Period::minutes(15),
            settle: Period::minutes(10),
            max_attempts: 8,
            observe_every: Period::minutes(15),
            member_order: MemberOrder::ConfigServersLast,
            stop_cluster_on_failure: false,
        }
    }

    /// The `alert_after` in a policy's words, which stand in the ledger.
    pub fn alert_after_in(words: &str) -> Option<Period> {
        words.split(", ").find_map(|part| part.strip_prefix("alert after "))?.parse().ok()
    }

    /// The `observe_every` in a policy's words.
    pub fn observe_every_in(words: &str) -> Option<Period> {
        words.split(", ").find_map(|part| part.strip_prefix("observe every "))?.parse().ok()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first_rotation.as_str();
        write!(
            f,
            "{}, spread {}, alert after {}, first rotation {first}, confirm within {}, settle {}, {} attempts, observe every {}",
            self.rhythm,
            self.spread,
            self.alert_after,
            self.confirm_within,
            self.settle,
            self.max_attempts,
            self.observe_every
        )?;
        // What is at its default is left out: a policy that says nothing of it keeps the words that are on record.
        if !self.windows.written().is_empty() {
            write!(f, ", windows {}", self.windows)?;
        }
        if self.max_age_overrides_window {
            f.write_str(", waiting for no window beyond that age")?;
        }
        if self.member_order != MemberOrder::ConfigServersLast {
            write!(f, ", members in the order {}", self.member_order.as_str())?;
        }
        if self.stop_cluster_on_failure {
            f.write_str(", a failure stops its cluster")?;
        }
        Ok(())
    }
}
