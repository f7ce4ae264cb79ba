//! The live account of a demo: a line for each thing on record that a person would want to see.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::cli::output::{BAD, DIM, GOOD, Output, WARN, styled};
use crate::domain::{Entry, Event, How, Listing, RotationId, Standing, TargetId, TargetName};
use crate::ports::{JournalError, Observer};

/// Hands what is recorded to the account.
pub(super) struct Account(pub(super) mpsc::UnboundedSender<Entry>);

impl Observer for Account {
    fn recorded(&self, entries: &[Entry]) {
        for entry in entries {
            // Nobody listens any more when the account has ended.
            let _ = self.0.send(entry.clone());
        }
    }

    fn record_failed(&self, _: &JournalError) {}
    fn rotation_took(&self, _: Duration) {}
}

/// Tells what happens, a line for each thing that a person would want to see.
#[derive(Default)]
pub(super) struct Narrator {
    names: BTreeMap<TargetId, TargetName>,
    intended: BTreeMap<(TargetId, RotationId), Timestamp>,
}

impl Narrator {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the ledger has everything; a story leaves most of it out")]
    pub(super) fn tell(&mut self, entry: &Entry, output: &mut Output) -> io::Result<()> {
        let at = entry.at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string();
        let name = entry.event.target().and_then(|id| self.names.get(&id)).map_or("", TargetName::as_str).to_owned();
        match &entry.event {
            Event::TargetFound { description, listing } => {
                self.names.insert(description.id(), description.name());
                if *listing != Listing::Eligible {
                    let why = Standing::Listed(listing);
                    output.line(format_args!(
                        "{at}  {:<38}  {}",
                        description.name(),
                        styled(DIM, format_args!("not managed: {why}"))
                    ))?;
                }
            }
            Event::TargetRefused { refusal, .. } => {
                let why = Standing::Refused(refusal);
                output.line(format_args!("{at}  {name:<38}  {}", styled(DIM, format_args!("not managed: {why}"))))?;
            }
            Event::RotationIntended { target, rotation, .. } => {
                self.intended.insert((target.clone(), *rotation), entry.at);
            }
            Event::RotationReplyLost { failure, .. } => {
                let what = format!("the reply was lost ({}): looking before anything else", failure.reason.as_str());
                output.line(format_args!("{at}  {name:<38}  {}", styled(WARN, what)))?;
            }
            Event::RotationFailed { failure, .. } | Event::RotationUnconfirmed { failure, .. } => {
                output.line(format_args!("{at}  {name:<38}  {}", styled(BAD, failure)))?;
            }
            Event::RotationDone { target, rotation, how, key_before, key_after, .. } => {
                let began = self.intended.remove(&(target.clone(), *rotation));
                let took = began.map(|began| entry.at.duration_since(began).as_secs_f64());
                let took = took.map_or_else(|| "already".to_owned(), |seconds| format!("in {seconds:.1} s"));
                let how = match how {
                    How::Rotated => String::new(),
                    How::FoundChanged => styled(WARN, ", found changed"),
                    How::Recovered => styled(WARN, ", recovered: the lost reply had taken effect"),
                };
                let keys = format!("{} → {}", short(key_before.as_str()), short(key_after.as_str()));
                output.line(format_args!("{at}  {name:<38}  {keys:<27}  {}{how}", styled(GOOD, took)))?;
            }
            Event::TargetQuarantined { .. } => {
                output.line(format_args!(
                    "{at}  {name:<38}  {}",
                    styled(BAD, "not tried any more: waits for an operator")
                ))?;
            }
            Event::AlertRaised { words, .. } => output.line(format_args!("{at}  {} {words}", styled(BAD, "alert")))?,
            _ => {}
        }
        Ok(())
    }
}

/// The first characters of a key's id, for a narrow column.
fn short(key: &str) -> String {
    let mut short: String = key.chars().take(11).collect();
    if short.len() < key.len() {
        short.push('…');
    }
    short
}
