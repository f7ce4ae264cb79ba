//! `rekeyd audit export`: the evidence of a period, to take away.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::super::output::{Output, WARN};
use super::super::{Answer, Exit, Stop};
use super::kept::{checkpoints_of, unreadable};
use crate::app::SystemClock;
use crate::config::Settings;
use crate::domain::{Moment, NoMoment};
use crate::evidence::{self, Span, Wanted};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The ledger is verified on the way; one that is broken gives no evidence. The same period gives the same bytes, whenever it \
is exported.

Examples:
  rekeyd audit export --from 2026-01-01 --to 2026-12-31
  rekeyd audit export --from 2026-01-01 --to 2026-03-31 --output /srv/audit/first-quarter")]
pub(in super::super) struct Args {
    /// The first day, in UTC: `2026-01-01`.
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Date,
    /// The last day, in UTC, which must be over.
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Date,
    /// An archive, if it ends with .tar.gz or .tgz, or else a folder; neither may exist. Without it an archive here.
    #[arg(long, value_name = "FILE|FOLDER")]
    output: Option<PathBuf>,
}

fn day(text: &str) -> Result<Date, String> {
    match text.parse() {
        Ok(Moment::On(day)) => Ok(day),
        Ok(Moment::At(_) | Moment::Civil(_)) | Err(NoMoment) => {
            Err("not a day; write for example 2026-01-01".to_owned())
        }
    }
}

pub(super) fn export(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let words = |error: &dyn std::fmt::Display| Stop::Words(error.to_string());
    let span = Span::new(args.from, args.to, SystemClock::now()).map_err(|error| words(&error))?;
    let reader = Reader::open(&settings.state_dir)?;
    let file = &settings.ledger.checkpoint_file;
    let checkpoints: Vec<_> =
        checkpoints_of(file)?.into_iter().flatten().collect::<Result<_, _>>().map_err(|why| unreadable(file, &why))?;
    if checkpoints.is_empty() && !reader.checkpoint_keys()?.is_empty() {
        output.complain_as_is(&format!(
            "{WARN}warning:{WARN:#} there is no checkpoint in {}, and the ledger names a key that signs them: the bundle has \
             none, and nothing shows that the ledger's tail was not cut off, or all of it written anew",
            file.display()
        ));
    }
    let top = format!("rekeyd-evidence-{}-{}", args.from, args.to);
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{top}.tar.gz")));
    let wanted = Wanted { span, path: &path, archive: is_archive(&path).then_some(top.as_str()) };
    let bar = output.progress("records");
    let exported = evidence::export(&reader, &checkpoints, &settings.rules, wanted, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    exported.map_err(|error| words(&error))?;
    output.line(path.display())?;
    Ok(Exit::Done)
}

fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}
