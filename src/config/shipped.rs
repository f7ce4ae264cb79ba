//! The file as it is shipped. Its tests hold it true: its values are the defaults, and it leaves no setting out.

/// Every setting, explained, at its default.
pub const SHIPPED: &str = include_str!("../../config/rekeyd.toml");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{Environment, read, read_settings};
    use super::SHIPPED;

    /// The shipped file with every setting that is commented out taken in: those have no blank behind their #.
    fn everything() -> String {
        let take_in = |line: &'static str| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
            _ => line,
        };
        SHIPPED.lines().map(take_in).collect::<Vec<_>>().join("\n")
    }

    /// As shipped, the file says nothing but the defaults.
    #[test]
    fn equals_the_defaults() {
        let shipped = read(SHIPPED, &Environment::default()).unwrap();
        let defaults = read("version = 1", &Environment::default()).unwrap();
        assert_eq!(format!("{shipped:#?}"), format!("{defaults:#?}"));
    }

    /// The example manager shows defaults wherever a setting has one.
    #[test]
    fn its_manager_equals_the_defaults() {
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("emea-private-key"), "not a key").unwrap();
        let environment =
            Environment { credentials_directory: Some(credentials.path().to_owned()), ..Environment::default() };
        let required = ["version", "name", "url", "public_key", "private_key"];
        // These have no default, and files and projects only where someone names them.
        let left_out = [
            "checkpoint_key",
            "web_config_file",
            "group",
            "runbook",
            "ca_file",
            "client_cert_file",
            "client_key_file",
            "proxy",
        ];
        let everything = everything();
        let (manager, _) = everything.split_once("[[ops_manager.project]]").unwrap();
        let (policies, manager) = manager.split_once("[[freeze]]").unwrap();
        let (_, manager) = manager.split_once("[[ops_manager]]").unwrap();
        let manager = format!("{policies}[[ops_manager]]{manager}");
        let only = |keep: &dyn Fn(&str) -> bool| {
            let kept = |line: &&str| line.split_once(" = ").is_none_or(|(key, _)| line.starts_with('#') || keep(key));
            manager.lines().filter(kept).collect::<Vec<_>>().join("\n")
        };
        let shipped = read(&only(&|key| !left_out.contains(&key)), &environment).unwrap();
        let defaults = read(&only(&|key| required.contains(&key)), &environment).unwrap();
        assert_eq!(shipped.managers.len(), 1);
        assert_eq!(format!("{shipped:#?}"), format!("{defaults:#?}"));
    }

    proptest::proptest! {
        /// Whatever a slip of the keyboard makes of a file, reading it ends in settings or in problems that can be
        /// shown.
        #[test]
        fn no_slip_breaks_the_reader(at in 0.0..1.0_f64, cut in 0..40_usize, slip in "[\\PC\n\r\t\u{feff}]{0,4}") {
            let mut text: Vec<char> = everything().chars().collect();
            let from = (at * text.len() as f64) as usize;
            let to = (from + cut).min(text.len());
            text.splice(from..to, slip.chars());
            let text: String = text.into_iter().collect();
            match read_settings(&text, &Environment::default()) {
                Ok(settings) => {
                    let table: toml::Table = text.parse().unwrap();
                    let sections = table.get("ops_manager").map_or(0, |managers| managers.as_array().unwrap().len());
                    proptest::prop_assert_eq!(settings.rules.managers.len(), sections);
                }
                Err(problems) => {
                    proptest::prop_assert!(!problems.is_empty());
                    proptest::prop_assert!(!problems.render(std::path::Path::new("x"), false).is_empty());
                }
            }
        }
    }

    /// Every setting that is read is explained, and every one that is explained is read.
    #[test]
    fn explains_every_setting() {
        const STRANGER: &str = "xxxxxxxxxxxx";
        let everything = everything();
        read_settings(&everything, &Environment::default()).expect("with all its examples the file can be used");

        let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut asking = format!("{STRANGER} = 0\n");
        let mut section = "the file".to_owned();
        for line in everything.lines().filter(|line| !line.starts_with('#')) {
            asking.push_str(line);
            asking.push('\n');
            if line.starts_with('[') {
                section = line.to_owned();
                asking.push_str(&format!("{STRANGER} = 0\n"));
            } else if let Some((key, _)) = line.split_once(" = ") {
                assert!(documented.entry(section.clone()).or_default().insert(key.to_owned()), "{section} {key} twice");
            }
        }

        let prefix = format!("unknown setting `{STRANGER}` in ");
        let read: BTreeMap<String, BTreeSet<String>> = read_settings(&asking, &Environment::default())
            .unwrap_err()
            .iter()
            .map(|problem| {
                let section = problem.what.strip_prefix(&prefix).expect("nothing else is wrong");
                let known = problem.help.as_ref().unwrap().strip_prefix("known here: ").unwrap();
                (section.to_owned(), known.split(", ").map(str::to_owned).collect())
            })
            .collect();
        // Sections stand for themselves; `cron` excludes the `every` that is shown, and `name` the `id`.
        let not_as_settings = |section: &str| match section {
            "the file" => {
                vec![
                    "alertmanager",
                    "alerts",
                    "control",
                    "freeze",
                    "heartbeat",
                    "http",
                    "inventory",
                    "ledger",
                    "ops_manager",
                    "policy",
                    "webhook",
                ]
            }
            "[policy.default]" => vec!["cron"],
            "[[ops_manager]]" => vec!["override", "project"],
            "[[ops_manager.project]]" => vec!["name"],
            _ => vec![],
        };
        let settings = read.into_iter().map(|(section, mut known)| {
            for key in not_as_settings(&section) {
                assert!(known.remove(key), "{section} {key}");
            }
            (section, known)
        });
        assert_eq!(documented, settings.collect());
    }
}
