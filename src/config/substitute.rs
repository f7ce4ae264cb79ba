//! An API key to be tried in the place of the configured one.

use std::path::PathBuf;

use super::credentials;
use super::environment::Environment;
use super::managers::{ManagerFile, SecretSource};
use super::value;

/// Another API key for one manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitute {
    /// Which manager; none where there is only one.
    pub manager: Option<String>,
    /// Where its private half is: a path with a slash in it, or the name of a credential.
    pub private_key: String,
    /// Its public half; none if that stays.
    pub public_key: Option<String>,
}

impl Substitute {
    /// Reads the private half once, for its own sake: what is wrong with it is no problem of the file that it is not in.
    ///
    /// # Errors
    /// In words, of the argument that names it.
    pub fn try_out(&self, environment: &Environment) -> Result<(), String> {
        credentials::try_out(&self.source(), environment).map_err(|misfit| {
            let help = misfit.help.map_or_else(String::new, |help| format!("\n  {help}"));
            format!("`--credential` {}{help}", misfit.what)
        })
    }

    pub(super) fn source(&self) -> SecretSource {
        if self.private_key.contains('/') {
            // A path on the command line is relative to the working directory.
            let path = PathBuf::from(&self.private_key);
            SecretSource::File(std::path::absolute(&path).unwrap_or(path))
        } else {
            SecretSource::Credential(self.private_key.clone())
        }
    }

    /// Puts it in the place of what the file says. An error says, in words, why there is no such place.
    pub(super) fn put_in(&self, managers: &mut [ManagerFile]) -> Result<(), String> {
        let manager = match (&self.manager, managers) {
            (None, [only]) => only,
            (None, _) => {
                return Err("the new credential is for one of several managers: name it with --manager".to_owned());
            }
            (Some(name), managers) => managers
                .iter_mut()
                .find(|manager| manager.name.as_ref().is_some_and(|known| known.as_str() == name))
                .ok_or_else(|| format!("no manager is named `{name}`"))?,
        };
        if let Some(key) = &self.public_key {
            if !value::is_public_key(key) {
                return Err(format!("the public key {}", value::PUBLIC_KEY_RULE));
            }
            manager.public_key = Some(key.clone());
        }
        if let Some(source) = &mut manager.private_key {
            source.value = self.source();
        }
        Ok(())
    }
}
