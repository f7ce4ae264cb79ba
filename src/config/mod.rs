//! From the file to checked values, with every problem reported at once.
//!
//! The text is read section by section ([`document`]) into what the file says ([`file`], [`policies`], [`managers`]);
//! then the files it names are opened ([`credentials`]). A problem anywhere is noted with its place and reading goes
//! on, so that one start shows all of them. What to do with the values is left to `app`.

mod credentials;
mod document;
mod environment;
mod file;
mod managers;
mod policies;
mod problem;
mod settings;
mod value;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use environment::Environment;
pub use problem::{Place, Problem, Problems, Severity};
pub use settings::{ClientIdentity, Config, Control, Http, Manager, Settings};

use document::Document;

/// The file as it is shipped: every setting, explained, at its default.
pub const SHIPPED: &str = include_str!("../../config/rekeyd.toml");

/// A configuration for ten thousand projects has less than this many bytes; more is not a configuration.
const LARGEST: u64 = 4 << 20;

/// Reads the configuration and every file that it names: secrets and certificates.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    read(&text_of(path)?, environment)
}

/// Reads the configuration alone, for commands that only look: it opens no secret, and so needs no right to.
pub fn load_settings(path: &Path, environment: &Environment) -> Result<Settings, Problems> {
    read_settings(&text_of(path)?, environment)
}

fn read(text: &str, environment: &Environment) -> Result<Config, Problems> {
    let document = Document::new(text);
    let file = file::read(&document, environment);
    let managers = file.iter().flat_map(|file| &file.managers);
    let managers = managers.filter_map(|manager| credentials::open(manager, &document, environment).ok()).collect();
    let warnings = document.verdict()?;
    let settings = file.expect("what can not be read is a problem").into_settings(warnings);
    Ok(Config { settings, managers })
}

fn read_settings(text: &str, environment: &Environment) -> Result<Settings, Problems> {
    let document = Document::new(text);
    let file = file::read(&document, environment);
    let warnings = document.verdict()?;
    Ok(file.expect("what can not be read is a problem").into_settings(warnings))
}

fn text_of(path: &Path) -> Result<String, Problems> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > LARGEST => {
            Err(Problems::about_the_file(format!("the configuration is larger than {LARGEST} bytes"), None))
        }
        Ok(_) => Ok(text),
        Err(error) => {
            let what = format!("the configuration can not be read: {}", credentials::reason(&error));
            Err(Problems::about_the_file(what, Some("`rekeyd config default` prints one to begin with".to_owned())))
        }
    }
}
