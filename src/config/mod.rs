//! From the file to checked values, with every problem reported at once.
//!
//! The text is read section by section (`section`) into what the file says (`file`, `policies`, `managers`);
//! then the files it names are opened (`credentials`). A problem anywhere is noted with its place and reading goes
//! on, so that one start shows all of them. What to do with the values is left to `app`.

mod changes;
mod credentials;
mod document;
mod environment;
mod file;
mod freezes;
mod managers;
mod policies;
mod problem;
mod receivers;
mod section;
mod settings;
mod shipped;
mod show;
mod substitute;
mod value;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

pub use changes::{changes, fixed};
pub use environment::Environment;
pub use problem::{Place, Problem, Problems, Severity};
pub use settings::{
    ClientIdentity, Config, Control, Http, Inventory, Ledger, Manager, Receiver, ReceiverForm, Settings,
};
pub use shipped::SHIPPED;
pub use substitute::Substitute;

use document::Document;
use managers::SecretSource;
use secrecy::SecretString;

/// A configuration for ten thousand projects has less than this many bytes; more is not a configuration.
const LARGEST: u64 = 4 << 20;

/// Reads the configuration and every file that it names: secrets and certificates.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let config = read(&text_of(path)?, environment)?;
    Ok(with_file(config, path))
}

/// The same with another API key for one manager: to try one before it takes the place of the present one.
pub fn load_with(path: &Path, environment: &Environment, substitute: &Substitute) -> Result<Config, Problems> {
    let config = read_with(&text_of(path)?, environment, Some(substitute))?;
    Ok(with_file(config, path))
}

/// Reads the configuration alone, for commands that only look: it opens no secret, and so needs no right to.
pub fn load_settings(path: &Path, environment: &Environment) -> Result<Settings, Problems> {
    read_settings(&text_of(path)?, environment)
}

/// The configuration with every default filled in, as a file that means the same. It opens no secret, and shows none.
pub fn show(path: &Path, environment: &Environment) -> Result<String, Problems> {
    show_text(&text_of(path)?, environment)
}

/// Reads only the key that signs checkpoints, where the file at `path` names one: for a command that records something while
/// no daemon runs.
///
/// # Errors
/// Every problem that was found, the key among them if it cannot be read.
pub fn load_checkpoint_key(path: &Path, environment: &Environment) -> Result<Option<SecretString>, Problems> {
    let text = text_of(path)?;
    let document = Document::new(&text);
    let file = file::read(&document, environment);
    let source = file.iter().find_map(|file| file.ledger.checkpoint_key.as_ref());
    let key = source.and_then(|source| credentials::open_checkpoint_key(source, &document, environment));
    document.verdict()?;
    Ok(key)
}

fn with_file(mut config: Config, path: &Path) -> Config {
    config.files.insert(0, path.to_owned());
    config
}

fn read(text: &str, environment: &Environment) -> Result<Config, Problems> {
    read_with(text, environment, None)
}

fn read_with(text: &str, environment: &Environment, substitute: Option<&Substitute>) -> Result<Config, Problems> {
    let document = Document::new(text);
    let mut file = file::read(&document, environment);
    if let (Some(substitute), Some(file)) = (substitute, &mut file) {
        substitute.put_in(&mut file.managers).map_err(|what| Problems::about_the_file(what, None))?;
    }
    let managers = file.iter().flat_map(|file| &file.managers);
    let managers = managers.filter_map(|manager| credentials::open(manager, &document, environment).ok()).collect();
    let key = file.iter().find_map(|file| file.ledger.checkpoint_key.as_ref());
    let checkpoint_key = key.and_then(|source| credentials::open_checkpoint_key(source, &document, environment));
    let receivers = file.iter().flat_map(|file| &file.receivers);
    let receivers =
        receivers.filter_map(|receiver| credentials::open_receiver(receiver, &document, environment).ok()).collect();
    let warnings = document.verdict()?;
    let file = file.expect("what cannot be read is a problem");
    let effective = show::effective(&file);
    let mut files = document.files();
    files.retain(|file| substitute.is_none_or(|tried| tried.source() != SecretSource::File(file.clone())));
    Ok(Config { settings: file.into_settings(warnings), checkpoint_key, managers, receivers, effective, files })
}

fn read_settings(text: &str, environment: &Environment) -> Result<Settings, Problems> {
    let document = Document::new(text);
    let file = file::read(&document, environment);
    let warnings = document.verdict()?;
    Ok(file.expect("what cannot be read is a problem").into_settings(warnings))
}

fn show_text(text: &str, environment: &Environment) -> Result<String, Problems> {
    let document = Document::new(text);
    let file = file::read(&document, environment);
    document.verdict()?;
    Ok(show::effective(&file.expect("what cannot be read is a problem")))
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
            let what = format!("the configuration cannot be read: {}", credentials::reason(&error));
            let helps = [
                (ErrorKind::NotFound, "`rekeyd config default` prints one to begin with"),
                (ErrorKind::PermissionDenied, "come as root or as the daemon's user: `sudo -u rekeyd rekeyd ...`"),
                (ErrorKind::InvalidData, "save it again as UTF-8"),
            ];
            let known = helps.into_iter().find(|(kind, _)| *kind == error.kind());
            let help = known.map_or("`--config` names a file", |(_, help)| help);
            Err(Problems::about_the_file(what, Some(help.to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Glob, ManagerName, Period, PolicyName, ProjectSelector};
    use crate::policy::{FirstRotation, Policy, Spread};

    const NOWHERE: Environment =
        Environment { credentials_directory: None, state_directory: None, runtime_directory: None };

    const MANAGER: &str = r#"
        [[ops_manager]]
        name = "emea"
        url = "https://opsmanager.example.com:8443/om"
        public_key = "abcdefgh"
        private_key = { credential = "emea" }
    "#;

    fn settings(text: &str) -> Settings {
        read_settings(&format!("version = 1\n{text}"), &NOWHERE).unwrap()
    }

    fn warnings(text: &str) -> Vec<String> {
        settings(text).warnings.iter().map(|warning| warning.what.clone()).collect()
    }

    fn policy(settings: &Settings, name: &str) -> Policy {
        Policy::clone(settings.policies.get(name).unwrap())
    }

    /// A file that says nothing has a default policy with the built-in defaults.
    #[test]
    fn a_default_policy_always_exists() {
        let expected = Policy::with_defaults(PolicyName::new("default"));
        assert_eq!(policy(&settings(""), "default"), expected);
    }

    /// Another policy takes what it leaves out from the default one, and that from the built-in defaults.
    #[test]
    fn policies_inherit_from_the_default_one() {
        let settings = settings(
            r#"
                [policy.a-first]
                first_rotation = "now"
                [policy.default]
                every = "20d"
                spread = "2h"
                [policy.strict]
                every = "10d"
            "#,
        );
        let strict = policy(&settings, "strict");
        assert_eq!((strict.rhythm, strict.spread), (Period::days(10).into(), Spread::Fixed(Period::minutes(120))));
        assert_eq!((strict.settle, strict.first_rotation), (Period::minutes(10), FirstRotation::Spread));
        assert_eq!(policy(&settings, "a-first").rhythm, Period::days(20).into());
        assert_eq!(policy(&settings, "a-first").first_rotation, FirstRotation::Now);
    }

    /// The planner's rules say what the file says: a project's policy before the manager's.
    #[test]
    fn rules_follow_the_file() {
        let settings = settings(&format!(
            r#"{MANAGER}
                policy = "slow"
                max_concurrent = 7
                [[ops_manager.project]]
                id = "5196d3628d022db4cbc26d9e"
                [[ops_manager.project]]
                name = "billing"
                policy = "default"
                exclude = ["scratch-*"]
                [policy.slow]
                every = "60d"
            "#
        ));
        let rules = settings.rules.managers.get(&ManagerName::new("emea")).unwrap();
        assert_eq!((rules.max_concurrent, rules.policy.name.as_str()), (7, "slow"));
        let projects: Vec<_> = rules
            .projects
            .iter()
            .map(|rules| (&rules.project, rules.policy.as_ref().map(|policy| policy.name.as_str()), &*rules.exclude))
            .collect();
        let by_id = ProjectSelector::Id("5196d3628d022db4cbc26d9e".into());
        let by_name = ProjectSelector::Name("billing".to_owned());
        assert_eq!(projects, [(&by_id, None, &[][..]), (&by_name, Some("default"), &[Glob::new("scratch-*")][..])]);
    }

    /// What can be used but surprises is said, and nothing else is.
    #[test]
    fn warns_of_what_surprises() {
        assert_eq!(warnings(MANAGER), [""; 0]);
        let rehearsal = "[policy.default]\nevery = '1m'\nconfirm_within = '10s'\nalert_after = '1m'";
        assert_eq!(
            warnings(&format!("{MANAGER}\n{rehearsal}\n[http]\nlisten = '0.0.0.0:9848'")),
            [
                "`settle` (10m) is longer than `every` (1m)",
                "`every` (1m) is below an hour",
                "`alert_after` (1m) is not longer than `every` and `spread` together (1m and 10%)",
                "`listen` is open to other machines, but `allowed_hosts` names no host",
            ]
        );
    }

    /// Two keys of one Ops Manager may share its projects out, by name: what each of them sees only the server knows.
    #[test]
    fn one_manager_may_be_reached_with_two_keys_that_share_its_projects_out() {
        let project = |name| format!("[[ops_manager.project]]\nname = \"{name}\"\n");
        let other = MANAGER.replace("emea", "apac").replace("abcdefgh", "zyxwvuts");
        let shared = format!("{MANAGER}{}{other}{}", project("billing"), project("identity"));
        assert_eq!(settings(&shared).rules.managers.len(), 2);
    }

    /// The state stays where the service manager wants it, unless the file says otherwise.
    #[test]
    fn the_state_directory_follows_the_service_manager() {
        let given = Environment { state_directory: Some("/srv/state".into()), ..NOWHERE };
        let state_dir = |text, environment| read_settings(text, environment).unwrap().state_dir;
        assert_eq!(state_dir("version = 1", &NOWHERE), Path::new("/var/lib/rekeyd"));
        assert_eq!(state_dir("version = 1", &given), Path::new("/srv/state"));
        assert_eq!(state_dir("version = 1\nstate_dir = '/data'", &given), Path::new("/data"));
    }

    /// The daemon and the commands must meet at one place, though only the daemon hears from the service manager.
    #[test]
    fn the_socket_is_where_the_commands_look_for_it() {
        let unit = Environment { runtime_directory: Some("/run/rekeyd".into()), ..NOWHERE };
        let socket = |text, environment| read_settings(text, environment).unwrap().control.socket;
        for environment in [&NOWHERE, &unit] {
            assert_eq!(socket("version = 1", environment), Path::new("/run/rekeyd/control.sock"));
            assert_eq!(socket("version = 1\nstate_dir = '/data'", environment), Path::new("/data/control.sock"));
            // To write a default down changes nothing.
            let default = socket("version = 1\nstate_dir = '/var/lib/rekeyd'", environment);
            assert_eq!(default, Path::new("/run/rekeyd/control.sock"));
            let said = "version = 1\nstate_dir = '/data'\n[control]\nsocket = '/a.sock'";
            assert_eq!(socket(said, environment), Path::new("/a.sock"));
        }
    }
}
