//! What another reading of the configuration changes, in words that name no secret.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;

use super::settings::{Config, Manager};

/// What differs from `former` in `next`, one line each; none if both mean the same.
pub fn changes(former: &Config, next: &Config) -> Vec<String> {
    let (before, after) = (settings(&former.effective), settings(&next.effective));
    let sections = |of: &BTreeMap<(String, String), String>| -> BTreeSet<String> {
        of.keys().map(|(section, _)| section.clone()).collect()
    };
    let (old, new) = (sections(&before), sections(&after));
    let added = new.difference(&old).map(|section| format!("{section} was added"));
    let removed = old.difference(&new).map(|section| format!("{section} was removed"));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let (section, name) = key;
        if !old.contains(section) || !new.contains(section) {
            return None;
        }
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) if before == after => None,
            (Some(before), Some(after)) => Some(format!("{section} {name} = {after} (was {before})")),
            (None, Some(after)) => Some(format!("{section} {name} = {after} (was not set)")),
            (Some(before), None) => Some(format!("{section} {name} is not set any more (was {before})")),
            (None, None) => None,
        }
    });
    let contents = next.managers.iter().flat_map(|manager| {
        let former = former.managers.iter().find(|former| former.name == manager.name);
        former.map(|former| contents(former, manager)).unwrap_or_default()
    });
    removed.chain(added).chain(changed).chain(contents).collect()
}

/// What differs in the files that are named, though their names are the same.
fn contents(former: &Manager, next: &Manager) -> Vec<String> {
    let secret = |manager: &Manager| manager.private_key.expose_secret().to_owned();
    let identity = |manager: &Manager| {
        manager.client_identity.as_ref().map(|identity| identity.to_pem().expose_secret().to_owned())
    };
    let differ = [
        (secret(former) != secret(next), "private key"),
        (former.ca_pem != next.ca_pem, "authorities"),
        (identity(former) != identity(next), "client certificate"),
    ];
    let told = differ.into_iter().filter(|(differ, _)| *differ);
    told.map(|(_, what)| format!("ops_manager {}: its {what} changed", next.name)).collect()
}

/// Every setting of the file in its complete form, by section and name.
fn settings(effective: &str) -> BTreeMap<(String, String), String> {
    let mut settings = BTreeMap::new();
    let (mut section, mut manager) = ("top".to_owned(), String::new());
    for line in effective.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, value)) = line.split_once(" = ") {
            // The first line of a section of which there are several names the one that is meant.
            if section == "ops_manager" {
                manager = format!("ops_manager {}", value.trim_matches('"'));
                section.clone_from(&manager);
            } else if section == "ops_manager.project" {
                section = format!("{manager} project {}", value.trim_matches('"'));
            }
            settings.insert((section.clone(), key.to_owned()), value.to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, read};
    use super::*;

    fn config(text: &str, key: &str) -> Config {
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("key"), key).unwrap();
        let environment =
            Environment { credentials_directory: Some(credentials.path().to_owned()), ..Environment::default() };
        read(&format!("version = 1\n{text}"), &environment).unwrap()
    }

    fn manager(name: &str, rest: &str) -> String {
        let url = "https://om.example.com";
        let key = "private_key = { credential = 'key' }";
        format!("[[ops_manager]]\nname = '{name}'\nurl = '{url}/{name}'\npublic_key = '{name}'\n{key}\n{rest}\n")
    }

    /// Who reads the record knows what was changed, and not what the key is.
    #[test]
    fn every_change_is_told_and_no_secret() {
        let before = config(&format!("{}{}", manager("emea", ""), manager("apac", "")), "first-secret");
        assert_eq!(changes(&before, &before), [""; 0]);
        let project = "max_concurrent = 2\n[[ops_manager.project]]\nname = 'billing'";
        let after = format!("[policy.default]\nevery = '7d'\n{}{}", manager("emea", project), manager("amer", ""));
        let told = changes(&before, &config(&after, "other-secret"));
        assert_eq!(
            told,
            [
                "ops_manager apac was removed",
                "ops_manager amer was added",
                "ops_manager emea project billing was added",
                r#"ops_manager emea max_concurrent = 2 (was 4)"#,
                r#"policy.default every = "7d" (was "30d")"#,
                "ops_manager emea: its private key changed",
            ]
        );
    }
}
