//! What another reading of the configuration changes, in words that name no secret; and what of it takes a restart.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use super::settings::{ClientIdentity, Config, Manager, Receiver};

/// What differs from `former` in `next`, one line each; none if both mean the same.
pub fn changes(former: &Config, next: &Config) -> Vec<String> {
    let (before, after) = (settings(&former.effective), settings(&next.effective));
    let sections = |of: &Settings| -> BTreeSet<String> { of.keys().map(|(section, _)| section.clone()).collect() };
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
    let identity = |manager: &Manager| manager.client_identity.as_ref().map(ClientIdentity::to_pem);
    let differ = [
        (!same_secret(Some(&former.private_key), Some(&next.private_key)), "private key"),
        (former.ca_pem != next.ca_pem, "authorities"),
        (!same_secret(identity(former).as_ref(), identity(next).as_ref()), "client certificate"),
    ];
    let told = differ.into_iter().filter(|(differ, _)| *differ);
    told.map(|(_, what)| format!("ops_manager {}: its {what} changed", next.name)).collect()
}

/// What differs that takes a restart: the state directory, the listeners, the key that signs, the receivers.
pub fn fixed(former: &Config, next: &Config) -> Vec<&'static str> {
    let (before, after) = (&former.settings, &next.settings);
    let signs_the_same = same_secret(former.checkpoint_key.as_ref(), next.checkpoint_key.as_ref());
    let receivers = former.receivers.iter().zip(&next.receivers);
    let tells_the_same =
        former.receivers.len() == next.receivers.len() && receivers.into_iter().all(|(one, other)| is_same(one, other));
    let differ = [
        (before.state_dir != after.state_dir, "`state_dir`"),
        (before.ledger != after.ledger || !signs_the_same, "[ledger]"),
        (before.http != after.http, "[http]"),
        (before.control != after.control, "[control]"),
        (before.runbook != after.runbook, "[alerts]"),
        (!tells_the_same, "who is told of alerts"),
    ];
    differ.into_iter().filter(|(differ, _)| *differ).map(|(_, what)| what).collect()
}

fn is_same(one: &Receiver, other: &Receiver) -> bool {
    let Receiver { name, form, url, shown: _, authorization, ca_pem, proxy } = one;
    (name, form, ca_pem, proxy) == (&other.name, &other.form, &other.ca_pem, &other.proxy)
        && same_secret(Some(url), Some(&other.url))
        && same_secret(authorization.as_ref(), other.authorization.as_ref())
}

fn same_secret(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

/// Settings by section and name.
type Settings = BTreeMap<(String, String), String>;

/// Every setting of the file in its complete form.
fn settings(effective: &str) -> Settings {
    let file: Table = effective.parse().expect("what is shown of a configuration reads back");
    let mut settings = Settings::new();
    for (name, value) in &file {
        match (name.as_str(), value) {
            ("policy", Value::Table(policies)) => {
                for (policy, of) in policies {
                    put(&mut settings, &format!("policy.{policy}"), of);
                }
            }
            ("ops_manager", Value::Array(managers)) => managers.iter().for_each(|of| put_manager(&mut settings, of)),
            (kind, Value::Array(named)) => {
                for of in named {
                    put(&mut settings, &format!("{kind} {}", word(of, "name")), of);
                }
            }
            (section, Value::Table(_)) => put(&mut settings, section, value),
            (name, value) => {
                settings.insert(("top".to_owned(), name.to_owned()), value.to_string());
            }
        }
    }
    settings
}

fn put_manager(settings: &mut Settings, manager: &Value) {
    let section = format!("ops_manager {}", word(manager, "name"));
    let of = |name| manager.get(name).and_then(Value::as_array).into_iter().flatten();
    put(settings, &section, manager);
    for project in of("project") {
        let name = if project.get("id").is_some() { "id" } else { "name" };
        put(settings, &format!("{section} project {}", word(project, name)), project);
    }
    // The first that fits counts: the same ones in another order mean something else.
    let overrides = of("override").map(|rule| {
        let [project, cluster, policy] = ["project", "cluster", "policy"].map(|name| word(rule, name));
        format!("{project}/{cluster}: {policy}")
    });
    let overrides: Vec<_> = overrides.collect();
    if !overrides.is_empty() {
        settings.insert((section, "overrides".to_owned()), Value::from(overrides).to_string());
    }
}

/// Puts in what stands in the section itself.
fn put(settings: &mut Settings, section: &str, of: &Value) {
    let is_section = |value: &Value| value.as_array().is_some_and(|list| list.iter().any(Value::is_table));
    let own = of.as_table().into_iter().flatten().filter(|(_, value)| !is_section(value));
    settings.extend(own.map(|(name, value)| ((section.to_owned(), name.clone()), value.to_string())));
}

fn word<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
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

    /// The record tells what was changed, and not what the key is.
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

    /// Of several of a kind each is told of, and so is their order where it counts.
    #[test]
    fn each_of_several_is_told_of() {
        let freeze =
            |name, end| format!("[[freeze]]\nname = '{name}'\nreason = 'r'\nstart = 2026-12-20\nend = {end}\n");
        let rule = |cluster, policy| format!("[[ops_manager.override]]\ncluster = '{cluster}'\npolicy = '{policy}'\n");
        let policies = "[policy.strict]\nevery = '7d'\n[policy.lax]\nevery = '60d'\n";
        let file =
            |freezes: &str, rules: &str| config(&format!("{policies}{freezes}{}", manager("emea", rules)), "key");
        let before = file(
            &(freeze("audit", "2026-12-22") + &freeze("year-end", "2027-01-03")),
            &(rule("billing-*", "strict") + &rule("ledger-*", "lax")),
        );
        let moved = rule("billing-*", "lax") + &rule("ledger-*", "lax");
        let after = file(&(freeze("year-end", "2027-01-04") + &freeze("summer", "2027-01-05")), &moved);
        assert_eq!(
            changes(&before, &after),
            [
                "freeze audit was removed",
                "freeze summer was added",
                r#"freeze year-end end = "2027-01-05T00:00:00Z" (was "2027-01-04T00:00:00Z")"#,
                r#"ops_manager emea overrides = ["*/billing-*: lax", "*/ledger-*: lax"] (was ["*/billing-*: strict", "*/ledger-*: lax"])"#,
            ]
        );
        let turned = file("", &(rule("ledger-*", "lax") + &rule("billing-*", "strict")));
        assert!(changes(&before, &turned).iter().any(|change| change.starts_with("ops_manager emea overrides = ")));
    }

    /// What is accepted comes into force: what cannot, at least not now, is not accepted.
    #[test]
    fn what_takes_a_restart_is_known_by_what_it_means() {
        let emea = manager("emea", "");
        let hook = |name, secret: &str| format!("[[webhook]]\nname = '{name}'\nurl = {{ credential = '{secret}' }}\n");
        let file = |text: &str, key| config(&format!("{text}{emea}"), key);
        let base = hook("first", "key") + &hook("second", "key");
        let before = file(&base, "https://first.example.com/secret");
        assert_eq!(fixed(&before, &before), [""; 0]);
        let ledger = |line| file(&format!("[ledger]\n{line}\n{base}"), "https://first.example.com/secret");
        for (after, what) in [
            (ledger("on_checkpoint_failure = 'block'"), "[ledger]"),
            (ledger("checkpoint_file = '/elsewhere/checkpoints'"), "[ledger]"),
            (file(&base, "https://first.example.com/other"), "who is told of alerts"),
            (file(&hook("second", "key"), "https://first.example.com/secret"), "who is told of alerts"),
            (file(&format!("[control]\ngroup = 'g'\n{base}"), "https://first.example.com/secret"), "[control]"),
        ] {
            assert_eq!(fixed(&before, &after), [what]);
        }
    }
}
