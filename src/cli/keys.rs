//! `rekeyd keys`: an access review. Who may rotate, the newest first, and who may do more than that takes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::output::{BAD, DIM, Output, WARN, moment, styled};
use super::{Answer, Exit, Stop, runtime};
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
cannot be asked, 3 another list cannot be read, so that somebody may be missing.")]
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
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    let (mut shown, mut hidden) = (0_usize, 0_usize);
    let mut notes = Vec::new();
    for (manager, review) in reviews {
        let review = match review {
            Ok(review) => review,
            Err(failure) => {
                exit = Exit::Failed;
                let next = app::advice_against(app::About::Manager, failure.reason);
                if args.json {
                    output.json(&json!({ "kind": "manager", "manager": manager, "failure": failure, "next": next }))?;
                }
                notes.push(format!("{} {manager}: {failure}. Next: {next}.", styled(BAD, "fail")));
                continue;
            }
        };
        for (list, failure) in &review.unread {
            // Who may read the global list may read everything: that it is closed is as it should be, and told all the same.
            let meant = *list == Reach::Global && failure.reason == Reason::RoleMissing;
            let (mark, level) = if meant { (DIM, "note") } else { (WARN, "warn") };
            if exit == Exit::Done && !meant {
                exit = Exit::Attention;
            }
            if args.json {
                output.json(&json!({ "kind": "unread_list", "manager": manager, "list": list, "failure": failure }))?;
            }
            notes.push(format!(
                "{} {manager}: the list of API keys cannot be read: {}: {failure}",
                styled(mark, level),
                over(list, &names)
            ));
        }
        for reviewed in &review.keys {
            if !args.all && reviewed.key.power() == Power::None {
                hidden += 1;
                continue;
            }
            shown += 1;
            let own = review.own.as_deref() == Some(reviewed.key.public_key.as_str());
            if args.json {
                output.json(&as_json(&manager, reviewed, own))?;
            } else {
                rows.push(as_row(&manager, reviewed, own, &names));
            }
        }
    }
    if !args.json {
        output.table(["MADE", "API KEY", "MANAGER", "CAN", "ROLES", "REMARKS"], &rows)?;
        if !rows.is_empty() {
            output.line("")?;
        }
        for note in notes {
            output.line(note)?;
        }
        let more =
            if hidden > 0 { format!("; {hidden} others cannot rotate: --all shows them") } else { String::new() };
        let what = if shown == 1 { "key" } else { "keys" };
        output.line(format_args!("{shown} API {what}{more}."))?;
    }
    Ok(exit)
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
        "access_list": reviewed.access_list,
        "excess": reviewed.excesses().iter().map(|excess| excess.as_str()).collect::<Vec<_>>(),
    })
}
