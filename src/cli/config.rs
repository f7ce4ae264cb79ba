//! `rekeyd config`: show what is in force, or what is shipped.

use std::path::Path;

use super::output::Output;
use super::{Answer, Exit, Stop};
use crate::config::{self as settings, Environment};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The effective configuration, every setting with its value. Opens no secret.
    Show,
    /// The shipped file: every setting, explained, at its default.
    Default,
}

pub(super) fn config(command: &Command, path: &Path, output: &mut Output) -> Answer {
    match command {
        Command::Show => {
            let shown = settings::show(path, &Environment::of_this_process());
            let text = shown.map_err(|problems| Stop::Config(path.to_owned(), problems))?;
            output.raw(text.as_bytes())?;
        }
        Command::Default => output.raw(settings::SHIPPED.as_bytes())?,
    }
    Ok(Exit::Done)
}
