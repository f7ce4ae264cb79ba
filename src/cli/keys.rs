//! `rekeyd keys`: an access review. Who may rotate, the newest first, and who may do more than that takes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::output::{BAD, DIM, Output, WARN, moment, styled};
use super::{Answer, Exit, Stop, runtime};
use crate::alerts::{self, About};
use crate::app::{self, Review, Reviewed};
use crate::config::{Config, Settings};
use crate::domain::{Failure, Grant, ManagerName, Power, ProjectId, Reach, Reason};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks each manager for its global API keys and for those of the organizations and projects that are managed. Sends GETs \
only and writes nothing. When a key was made is read from its id, whose first four bytes are that second; the API does not \
tell it otherwise.

Examples:
  rekeyd keys
  rekeyd keys --all --json
  rekeyd keys --recorded

Exit status: 0 all lists were read, but for the global one where the key has no global role, as it should have none; 1 a manager \
cannot be asked, 3 another list cannot be read, so that somebody may be missing, or a key's access list, but for want of a role.")]
pub(super) struct Args {
    /// Show every key, also those that cannot rotate.
    #[arg(long)]
    all: bool,
    /// Show what the daemon recorded last, and ask nobody. Access lists are not on record.
    #[arg(long)]
    pub(super) recorded: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Asks the managers.
pub(super) fn ask(args: &Args, config: &Config, output: &mut Output) -> Answer {
    let reviews = runtime()?.block_on(app::review(config)).map_err(|error| Stop::Words(error.to_string()))?;
    show(args, reviews, &config.settings.state_dir, output)
}

/// Reads the record.
pub(super) fn recall(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let fleet = Reader::open(&settings.state_dir)?.fleet()?;
    let reviews = app::recorded(&fleet).into_iter().map(|review| (review.manager.clone(), Ok(review))).collect();
    show(args, reviews, &settings.state_dir, output)
}

fn show(
    args: &Args,
    reviews: Vec<(ManagerName, Result<Review, Failure>)>,
    state_dir: &Path,
    output: &mut Output,
) -> Answer {
    let names = names(state_dir);
    let mut found = Findings { exit: Exit::Done, json: Vec::new(), rows: Vec::new(), notes: Vec::new(), hidden: 0 };
    for (manager, review) in reviews {
        match review {
            Ok(review) => found.add(&review, args.all, &names),
            Err(failure) => found.add_silent(&manager, &failure),
        }
    }
    if args.json {
        found.json.iter().try_for_each(|line| output.json(line))?;
    } else {
        found.print(output)?;
    }
    Ok(found.exit)
}

/// What there is to show of all managers, in both forms.
struct Findings {
    exit: Exit,
    json: Vec<Value>,
    rows: Vec<[String; 6]>,
    notes: Vec<String>,
    /// How many keys are left out, since they cannot rotate.
    hidden: usize,
}

impl Findings {
    /// A manager that cannot be asked.
    fn add_silent(&mut self, manager: &ManagerName, failure: &Failure) {
        self.exit = Exit::Failed;
        let next = alerts::against(About::Manager, failure.reason);
        self.json.push(json!({ "kind": "manager", "manager": manager, "failure": failure, "next": next }));
        self.notes.push(format!("{} {manager}: {failure}. Next: {next}.", styled(BAD, "fail")));
    }

    fn add(&mut self, review: &Review, all: bool, names: &BTreeMap<ProjectId, String>) {
        let manager = &review.manager;
        for (list, failure) in &review.unread {
            self.json.push(json!({ "kind": "unread_list", "manager": manager, "list": list, "failure": failure }));
            // A role that opens the global list opens everything else too: our key should not have one.
            let meant = *list == Reach::Global && failure.reason == Reason::RoleMissing;
            let what = format!("the list of API keys cannot be read: {}", over(list, names));
            self.note(meant, &format!("{manager}: {what}: {failure}"));
        }
        let mut unread: BTreeMap<String, (Reason, Vec<&str>)> = BTreeMap::new();
        for reviewed in &review.keys {
            if !all && reviewed.key.power() == Power::None {
                self.hidden += 1;
                continue;
            }
            let key = reviewed.key.public_key.as_str();
            let own = review.own.as_deref() == Some(key);
            self.json.push(as_json(manager, reviewed, own));
            self.rows.push(as_row(manager, reviewed, own, names));
            if let Some(failure) = reviewed.access_list.failure() {
                unread.entry(failure.to_string()).or_insert((failure.reason, Vec::new())).1.push(key);
            }
        }
        for (failure, (reason, keys)) in unread {
            // An Organization Owner sees the access lists of others, and our key should not be one.
            let what = format!("the access list of {} cannot be read; any address may do", keys.join(", "));
            self.note(reason == Reason::RoleMissing, &format!("{manager}: {what}: {failure}"));
        }
    }

    /// Something that is not known: as it should be, or a matter for somebody.
    fn note(&mut self, meant: bool, words: &str) {
        let (mark, level) = if meant { (DIM, "note") } else { (WARN, "warn") };
        if !meant && self.exit == Exit::Done {
            self.exit = Exit::Attention;
        }
        self.notes.push(format!("{} {words}", styled(mark, level)));
    }

    fn print(&self, output: &mut Output) -> std::io::Result<()> {
        output.table(["MADE", "API KEY", "MANAGER", "CAN", "ROLES", "REMARKS"], &self.rows)?;
        if !self.rows.is_empty() {
            output.line("")?;
        }
        self.notes.iter().try_for_each(|note| output.line(note))?;
        let (shown, hidden) = (self.rows.len(), self.hidden);
        let more =
            if hidden > 0 { format!("; {hidden} others cannot rotate: --all shows them") } else { String::new() };
        let what = if shown == 1 { "key" } else { "keys" };
        output.line(format_args!("{shown} API {what}{more}."))
    }
}

/// The projects' names, as far as the record has them; people know a project by its name.
fn names(state_dir: &Path) -> BTreeMap<ProjectId, String> {
    let fleet = Reader::open(state_dir).and_then(|reader| reader.fleet()).unwrap_or_default();
    fleet.targets.values().map(|record| (record.target.project_id.clone(), record.target.project.clone())).collect()
}

fn over(reach: &Reach, names: &BTreeMap<ProjectId, String>) -> String {
    match reach {
        Reach::Project(id) => names.get(id).map_or_else(|| reach.to_string(), |name| format!("project {name}")),
        Reach::Global | Reach::Organization(_) => reach.to_string(),
    }
}

fn as_row(manager: &ManagerName, reviewed: &Reviewed, own: bool, names: &BTreeMap<ProjectId, String>) -> [String; 6] {
    let key = &reviewed.key;
    let can = match key.power() {
        Power::Rotates => styled(WARN, "rotate"),
        Power::Grants => styled(WARN, "give itself the role"),
        Power::Unknown => styled(WARN, "not known"),
        Power::None => styled(DIM, "not rotate"),
    };
    let role = |grant: &Grant| match &grant.over {
        Reach::Global => grant.role.clone(),
        reach @ (Reach::Organization(_) | Reach::Project(_)) => format!("{} in {}", grant.role, over(reach, names)),
    };
    // The roles that the word before follows from.
    let roles: Vec<String> = key.grants.iter().filter(|grant| grant.power() == key.power()).map(role).collect();
    let shown = match roles.as_slice() {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    };
    let mut remarks: Vec<String> = Vec::new();
    if own {
        remarks.push("rekeyd's own".to_owned());
    }
    if !key.description.is_empty() {
        remarks.push(key.description.clone());
    }
    remarks.extend(reviewed.excesses().iter().map(|excess| styled(WARN, excess.words())));
    [moment(key.id.created_at()), key.public_key.clone(), manager.to_string(), can, shown, remarks.join("; ")]
}

fn as_json(manager: &ManagerName, reviewed: &Reviewed, own: bool) -> Value {
    let key = &reviewed.key;
    let created_at = key.id.created_at();
    json!({
        "kind": "api_key",
        "manager": manager,
        "id": key.id,
        "public_key": key.public_key,
        "description": key.description,
        "own": own,
        "created_at": created_at,
        "created_known_by": created_at.map(|_| "object_id"),
        "power": key.power().as_str(),
        "roles": key.grants,
        "lists": key.lists,
        "access_list": reviewed.access_list.known(),
        "access_list_failure": reviewed.access_list.failure(),
        "excess": reviewed.excesses().iter().map(|excess| excess.as_str()).collect::<Vec<_>>(),
    })
}
