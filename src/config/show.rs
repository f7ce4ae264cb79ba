//! Writes what a configuration comes to, every default filled in, as a file that reads back the same.

use std::fmt::{self, Display, Write};
use std::path::Path;

use super::file::{ConfigFile, VERSION};
use super::managers::{ManagerFile, SecretSource};
use super::policies::PolicyEntry;
use super::receivers::{AddressSource, ReceiverFile};
use super::settings::ReceiverForm;
use crate::domain::{Freeze, ProjectSelector};
use crate::policy::{Override, Policy, ProjectRules, Rhythm, name_of};

/// The file's whole meaning. Secrets are named by their place, as they are in the file.
pub(super) fn effective(file: &ConfigFile) -> String {
    let mut text = String::new();
    write(&mut text, file).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, file: &ConfigFile) -> fmt::Result {
    writeln!(out, "version = {VERSION}")?;
    writeln!(out, "state_dir = {}", path(&file.state_dir))?;
    writeln!(out, "timezone = {}", quoted(file.timezone.iana_name().unwrap_or("UTC")))?;
    let ledger = file.ledger();
    writeln!(out, "\n[ledger]")?;
    writeln!(out, "checkpoint_file = {}", path(&ledger.checkpoint_file))?;
    writeln!(out, "on_checkpoint_failure = {}", quoted(ledger.on_checkpoint_failure.as_str()))?;
    if let Some(source) = &file.ledger.checkpoint_key {
        write_source(out, "checkpoint_key", &source.value)?;
    }
    writeln!(out, "\n[http]")?;
    writeln!(out, "listen = {}", quoted(file.http.listen))?;
    writeln!(out, "allowed_hosts = {}", list(&file.http.allowed_hosts))?;
    writeln!(out, "stalled_after = {}", quoted(file.stalled_after))?;
    if let Some(file) = &file.http.web_config_file {
        writeln!(out, "web_config_file = {}", path(file))?;
    }
    writeln!(out, "\n[control]")?;
    writeln!(out, "socket = {}", path(&file.control.socket))?;
    if let Some(group) = &file.control.group {
        writeln!(out, "group = {}", quoted(group))?;
    }
    writeln!(out, "\n[inventory]")?;
    writeln!(out, "every = {}", quoted(file.inventory.every))?;
    if let Some(runbook) = &file.runbook {
        writeln!(out, "\n[alerts]\nrunbook = {}", quoted(runbook))?;
    }
    for entry in file.policies.values() {
        write_policy(out, entry)?;
    }
    for freeze in &file.freezes {
        write_freeze(out, freeze)?;
    }
    for manager in &file.managers {
        write_manager(out, manager)?;
    }
    file.receivers.iter().try_for_each(|receiver| write_receiver(out, receiver))
}

fn write_policy(out: &mut String, entry: &PolicyEntry) -> fmt::Result {
    let policy = &entry.policy;
    writeln!(out, "\n[policy.{}]", policy.name)?;
    match &policy.rhythm {
        Rhythm::Every(every) => writeln!(out, "every = {}", quoted(every))?,
        Rhythm::Cron(cron) => writeln!(out, "cron = {}    # {}", quoted(cron.text()), cron.in_words())?,
    }
    writeln!(out, "spread = {}", quoted(policy.spread))?;
    writeln!(out, "timezone = {}", quoted(name_of(&entry.zone)))?;
    writeln!(out, "windows = {}", list(policy.windows.written()))?;
    writeln!(out, "max_age_overrides_window = {}", policy.max_age_overrides_window)?;
    writeln!(out, "alert_after = {}", quoted(policy.alert_after))?;
    writeln!(out, "first_rotation = {}", quoted(policy.first_rotation.as_str()))?;
    writeln!(out, "confirm_within = {}", quoted(policy.confirm_within))?;
    writeln!(out, "settle = {}", quoted(policy.settle))?;
    writeln!(out, "max_attempts = {}", policy.max_attempts)?;
    writeln!(out, "observe_every = {}", quoted(policy.observe_every))?;
    writeln!(out, "member_order = {}", quoted(policy.member_order.as_str()))?;
    writeln!(out, "stop_cluster_on_failure = {}", policy.stop_cluster_on_failure)
}

fn write_freeze(out: &mut String, freeze: &Freeze) -> fmt::Result {
    writeln!(out, "\n[[freeze]]")?;
    writeln!(out, "name = {}", quoted(&freeze.name))?;
    writeln!(out, "reason = {}", quoted(&freeze.reason))?;
    writeln!(out, "start = {}", quoted(freeze.span.start))?;
    writeln!(out, "end = {}", quoted(freeze.span.end))?;
    writeln!(out, "scope = {}", quoted(&freeze.scope))
}

fn write_manager(out: &mut String, manager: &ManagerFile) -> fmt::Result {
    // A file with a problem is not shown, and without one these are there.
    let (Some(name), Some(url), Some(key), Some(source), Some(rules)) =
        (&manager.name, &manager.url, &manager.public_key, &manager.private_key, &manager.rules)
    else {
        return Ok(());
    };
    writeln!(out, "\n[[ops_manager]]")?;
    writeln!(out, "name = {}", quoted(name))?;
    writeln!(out, "url = {}", quoted(url))?;
    writeln!(out, "public_key = {}", quoted(key))?;
    write_source(out, "private_key", &source.value)?;
    if let Some(file) = &manager.ca_file {
        writeln!(out, "ca_file = {}", path(&file.value))?;
    }
    if let Some(files) = &manager.client_identity {
        writeln!(out, "client_cert_file = {}", path(&files.certificates.value))?;
        writeln!(out, "client_key_file = {}", path(&files.key.value))?;
    }
    if let Some(proxy) = &manager.proxy {
        writeln!(out, "proxy = {}", quoted(proxy))?;
    }
    writeln!(out, "request_timeout = {}", quoted(manager.request_timeout))?;
    writeln!(out, "max_concurrent = {}", rules.max_concurrent)?;
    writeln!(out, "requests_per_second = {}", manager.requests_per_second)?;
    writeln!(out, "policy = {}", quoted(&rules.policy.name))?;
    writeln!(out, "discover_every = {}", quoted(manager.discover_every))?;
    rules.projects.iter().try_for_each(|project| write_project(out, project, &rules.policy))?;
    rules.overrides.iter().try_for_each(|rule| write_override(out, rule))
}

fn write_override(out: &mut String, rule: &Override) -> fmt::Result {
    writeln!(out, "\n[[ops_manager.override]]")?;
    writeln!(out, "project = {}", quoted(&rule.project))?;
    writeln!(out, "cluster = {}", quoted(&rule.cluster))?;
    writeln!(out, "policy = {}", quoted(&rule.policy.name))
}

fn write_receiver(out: &mut String, receiver: &ReceiverFile) -> fmt::Result {
    let (Some(name), Some(url)) = (&receiver.name, &receiver.url) else { return Ok(()) };
    match receiver.form {
        ReceiverForm::Webhook { .. } => writeln!(out, "\n[[webhook]]\nname = {}", quoted(name))?,
        ReceiverForm::Alertmanager { .. } => writeln!(out, "\n[[alertmanager]]\nname = {}", quoted(name))?,
        ReceiverForm::Heartbeat { .. } => writeln!(out, "\n[heartbeat]")?,
    }
    match &url.value {
        AddressSource::Here(url) => writeln!(out, "url = {}", quoted(url))?,
        AddressSource::Secret(source) => write_source(out, "url", source)?,
    }
    if let Some(source) = &receiver.authorization {
        write_source(out, "authorization", &source.value)?;
    }
    if let Some(file) = &receiver.ca_file {
        writeln!(out, "ca_file = {}", path(&file.value))?;
    }
    if let Some(proxy) = &receiver.proxy {
        writeln!(out, "proxy = {}", quoted(proxy))?;
    }
    match receiver.form {
        ReceiverForm::Webhook { every } | ReceiverForm::Heartbeat { every } => {
            writeln!(out, "every = {}", quoted(every))
        }
        ReceiverForm::Alertmanager { resend_every } => writeln!(out, "resend_every = {}", quoted(resend_every)),
    }
}

fn write_source(out: &mut String, setting: &str, source: &SecretSource) -> fmt::Result {
    match source {
        SecretSource::Credential(name) => writeln!(out, "{setting} = {{ credential = {} }}", quoted(name)),
        SecretSource::File(file) => writeln!(out, "{setting} = {{ file = {} }}", path(file)),
    }
}

fn write_project(out: &mut String, rules: &ProjectRules, managers: &Policy) -> fmt::Result {
    writeln!(out, "\n[[ops_manager.project]]")?;
    match &rules.project {
        ProjectSelector::Id(id) => writeln!(out, "id = {}", quoted(id))?,
        ProjectSelector::Name(name) => writeln!(out, "name = {}", quoted(name))?,
    }
    writeln!(out, "policy = {}", quoted(&rules.policy.as_deref().unwrap_or(managers).name))?;
    writeln!(out, "exclude = {}", list(&rules.exclude))
}

fn quoted(value: impl Display) -> toml::Value {
    toml::Value::String(value.to_string())
}

fn path(path: &Path) -> toml::Value {
    quoted(path.display())
}

fn list(texts: &[impl Display]) -> toml::Value {
    texts.iter().map(ToString::to_string).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, show_text};

    /// Every setting, none at its default, in the form in which it is shown.
    const EVERYTHING: &str = r#"version = 1
state_dir = "/data/rekeyd"
timezone = "Europe/Paris"

[ledger]
checkpoint_file = "/mnt/other/checkpoints"
on_checkpoint_failure = "block"
checkpoint_key = { credential = "checkpoint-key" }

[http]
listen = "[::]:9000"
allowed_hosts = ["rekeyd.example.com", "10.0.0.7"]
stalled_after = "2m"
web_config_file = "/etc/rekeyd/web-config.yml"

[control]
socket = "/run/rekeyd/other.sock"
group = "operators"

[inventory]
every = "23h"

[alerts]
runbook = "https://wiki.example.com/rekeyd/runbook.md"

[policy.default]
every = "29d 23h"
spread = "2h 30m"
timezone = "Europe/Rome"
windows = ["Sat,Sun 01:00-05:00", "22:00-04:00"]
max_age_overrides_window = true
alert_after = "80d"
first_rotation = "now"
confirm_within = "14m"
settle = "9m"
max_attempts = 7
observe_every = "14m"
member_order = "config_servers_first"
stop_cluster_on_failure = true

[policy.strict]
cron = "0 0 2 * * 7"    # At 02:00, on Sunday, by the clocks of Asia/Tokyo
spread = "0%"
timezone = "Asia/Tokyo"
windows = []
max_age_overrides_window = false
alert_after = "9d"
first_rotation = "spread"
confirm_within = "1m"
settle = "50s"
max_attempts = 2
observe_every = "1s"
member_order = "oldest_first"
stop_cluster_on_failure = false

[[freeze]]
name = "year-end"
reason = "CHG-1: the books are closed"
start = "2026-12-20T00:00:00Z"
end = "2027-01-04T00:00:00Z"
scope = "emea/*"

[[ops_manager]]
name = "emea"
url = "https://om.example.com/prefix/"
public_key = "it's"
private_key = { file = '/etc/"odd"\name' }
ca_file = "/etc/ca.pem"
client_cert_file = "/etc/client.pem"
client_key_file = "/etc/client-key.pem"
proxy = "http://proxy.example.com:3128/"
request_timeout = "29s"
max_concurrent = 3
requests_per_second = 9
policy = "strict"
discover_every = "9m"

[[ops_manager.project]]
name = 'The "billing" équipe'
policy = "default"
exclude = ["scratch-*", "a'b"]

[[ops_manager.project]]
id = "5196d3628d022db4cbc26d9e"
policy = "strict"
exclude = []

[[ops_manager.override]]
project = "*"
cluster = "ledger-*"
policy = "default"

[[ops_manager]]
name = "apac"
url = "http://[::1]:8080/"
public_key = "abcdefgh"
private_key = { credential = "apac" }
request_timeout = "31s"
max_concurrent = 5
requests_per_second = 11
policy = "default"
discover_every = "11m"

[[webhook]]
name = "oncall"
url = { credential = "oncall-url" }
ca_file = "/etc/ca.pem"
every = "2m"

[[alertmanager]]
name = "prod"
url = "https://alertmanager.example.com/prefix"
authorization = { file = "/etc/rekeyd/alertmanager" }
proxy = "http://proxy.example.com:3128/"
resend_every = "50s"

[heartbeat]
url = "https://hc.example.com/ping"
every = "5m"
"#;

    /// No setting is lost between being read and being used or shown, and what is shown can take the file's place.
    #[test]
    fn what_is_shown_is_what_was_read() {
        assert_eq!(show_text(EVERYTHING, &Environment::default()).unwrap(), EVERYTHING);
    }

    /// What was left out is shown as if it had been written.
    #[test]
    fn defaults_are_shown() {
        let shown = show_text("version = 1\n[http]\nallowed_hosts = ['A']", &Environment::default()).unwrap();
        for line in [r#"state_dir = "/var/lib/rekeyd""#, r#"allowed_hosts = ["a"]"#, r#"every = "30d""#] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is missing in:\n{shown}");
        }
    }
}
