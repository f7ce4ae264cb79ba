//! The arguments that `history` and `audit records` share: which targets, by whom, when, how many, in which form.

use std::collections::BTreeSet;
use std::io;

use jiff::tz::TimeZone;
use nix::unistd::User;

use super::output::Output;
use super::when::When;
use super::{Stop, found_some};
use crate::app::SystemClock;
use crate::domain::{Actor, Cursor, Glob, Selection};
use crate::store::Reader;

/// So many stand in a table if nothing is said.
const ROWS: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only about targets whose name matches; `*` stands for anything.
    target: Option<String>,
    /// Only about targets of this project, by its name or id.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only what this actor began or did: `schedule`, `daemon`, a user of this machine, or `uid:1000`.
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<String>,
    /// Only from this time on: `2026-05-01`, `2026-05-01T06:00`, `2026-05-01T06:00Z`, or `90d` (ago). What has no offset is
    /// in the configured time zone.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only from before this time; a day stands for its whole length.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// At most so many, the newest; without it 100 in a table and all in JSON and CSV.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only what is behind an earlier answer, by the cursor at its end.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
    /// One JSON object a line, with all that is known.
    #[arg(long, conflicts_with = "csv")]
    pub(super) json: bool,
    /// Comma-separated values with a heading.
    #[arg(long)]
    pub(super) csv: bool,
}

/// The persisted word for the actor.
fn actor(text: &str) -> Result<String, String> {
    let user = || Some(Actor::Operator(User::from_name(text).ok().flatten()?.uid.as_raw()));
    let actor = Actor::from_word(text).or_else(user);
    actor
        .map(|actor| actor.to_string())
        .ok_or_else(|| "no user of this machine; others are named by `uid:1000`".to_owned())
}

impl FilterArgs {
    /// A name that nobody has is mistyped more often than not, and must not look like an answer.
    pub(super) fn fits_something(&self, reader: &Reader) -> Result<(), Stop> {
        if self.target.is_none() && self.project.is_none() {
            return Ok(());
        }
        let fleet = reader.fleet()?;
        let targets = || fleet.targets.values().map(|record| &record.target);
        if let Some(project) = &self.project
            && !targets().any(|target| target.project == *project || target.project_id.as_str() == project)
        {
            let known: BTreeSet<&str> = targets().map(|target| target.project.as_str()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Stop::Words(format!("no target is on record of a project {project:?}; these are: {known}")));
        }
        let glob = Glob::new(self.target.as_deref().unwrap_or("*"));
        let matched = targets().filter(|target| glob.matches(target.name().as_str())).count();
        found_some(matched, self.target.as_deref().unwrap_or("*"))
    }

    /// Of which targets, by whom, and from when to when.
    ///
    /// # Errors
    /// If the end comes before the beginning: nothing would be found, and that would look like an answer.
    pub(super) fn selection(&self, zone: &TimeZone) -> Result<Selection, Stop> {
        let now = SystemClock::now();
        let since = self.since.map(|since| since.ago(now).start(zone));
        let until = self.until.map(|until| until.ago(now).end(zone));
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(Stop::Words(format!("--until is not behind --since: {until:.0} and {since:.0}")));
        }
        let (target, project, actor) = (self.target.clone(), self.project.clone(), self.actor.clone());
        Ok(Selection { target, project, actor, since, until, behind: self.cursor })
    }

    /// How many at most.
    pub(super) fn limit(&self) -> Option<u32> {
        self.limit.or((!self.json && !self.csv).then_some(ROWS))
    }

    /// Says how to go on from a table of so many rows, `last` being the place of the last one, if there may be more.
    pub(super) fn tell_more(&self, rows: usize, last: Option<Cursor>, output: &mut Output) -> io::Result<()> {
        match (self.limit(), last) {
            (Some(limit), Some(last)) if rows as u64 == u64::from(limit) => output
                .line(format_args!("\nThe newest {limit}; --limit or --since for more, --cursor {last} to go on.")),
            (Some(_) | None, _) => Ok(()),
        }
    }
}
