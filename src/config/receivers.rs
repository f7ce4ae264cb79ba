//! The sections `[[webhook]]`, `[[alertmanager]]` and `[heartbeat]`: the receivers of alerts, and how each is reached.

use std::collections::BTreeSet;
use std::path::PathBuf;

use reqwest::Url;
use toml::de::DeValue;

use super::document::{Document, Written};
use super::managers::{SecretSource, secret_source};
use super::section::Section;
use super::settings::ReceiverForm;
use super::value;
use crate::domain::{Period, ReceiverName};

/// The heartbeat is one receiver among the others, under this name.
const HEARTBEAT: &str = "heartbeat";
/// How often a receiver is told, unless it is said.
const EVERY: Period = Period::minutes(1);

/// One receiver as the file describes it, its secrets and certificates not yet opened.
pub(super) struct ReceiverFile {
    pub(super) name: Option<ReceiverName>,
    pub(super) form: ReceiverForm,
    pub(super) url: Option<Written<AddressSource>>,
    pub(super) authorization: Option<Written<SecretSource>>,
    pub(super) ca_file: Option<Written<PathBuf>>,
    pub(super) proxy: Option<Url>,
}

/// Where an address stands.
#[derive(Clone, Debug)]
pub(super) enum AddressSource {
    /// In the file: it holds no secret.
    Here(Url),
    /// In a credential or a file, since knowing the address is enough to write there.
    Secret(SecretSource),
}

/// Reads every receiver.
pub(super) fn read(top: &mut Section<'_>) -> Vec<ReceiverFile> {
    let mut names = BTreeSet::from([HEARTBEAT.to_owned()]);
    let mut receivers = Vec::new();
    for mut section in top.sections("webhook", "[[webhook]]") {
        let name = read_name(&mut section, &mut names);
        let every = section.optional("every", value::period).map_or(EVERY, |every| every.value);
        receivers.push(read_one(section, name, ReceiverForm::Webhook { every }));
    }
    for mut section in top.sections("alertmanager", "[[alertmanager]]") {
        let name = read_name(&mut section, &mut names);
        let resend_every = section.optional("resend_every", value::period).map_or(EVERY, |every| every.value);
        receivers.push(read_one(section, name, ReceiverForm::Alertmanager { resend_every }));
    }
    if let Some(mut section) = top.section("heartbeat") {
        let every = section.optional("every", value::period).map_or(EVERY, |every| every.value);
        receivers.push(read_one(section, Some(ReceiverName::new(HEARTBEAT)), ReceiverForm::Heartbeat { every }));
    }
    receivers
}

fn read_name(section: &mut Section<'_>, names: &mut BTreeSet<String>) -> Option<ReceiverName> {
    let name = section.required("name", value::name)?;
    if !names.insert(name.value.clone()) {
        let what = if name.value == HEARTBEAT {
            format!("`{HEARTBEAT}` is the name of the section [{HEARTBEAT}]")
        } else {
            format!("a receiver named `{}` stands further up already", name.value)
        };
        section.document().problem(&name.spot, what, None);
    }
    Some(ReceiverName::new(name.value))
}

fn read_one(mut section: Section<'_>, name: Option<ReceiverName>, form: ReceiverForm) -> ReceiverFile {
    let document = section.document();
    let url = read_url(&mut section);
    let authorization =
        section.take("authorization").and_then(|setting| secret_source(setting, document, "authorization"));
    let ca_file = section.optional("ca_file", value::absolute_path);
    let proxy = section.optional("proxy", value::proxy_url).map(|proxy| proxy.value);
    section.finish();
    if let (Some(Written { value: AddressSource::Here(url), spot }), Some(_)) = (&url, &authorization)
        && url.scheme() == "http"
        && !value::is_loopback(url)
    {
        let what = "`url` must begin with https: over plain http the authorization can be read on the way";
        document.problem(spot, what, None);
    }
    ReceiverFile { name, form, url, authorization, ca_file, proxy }
}

fn read_url(section: &mut Section<'_>) -> Option<Written<AddressSource>> {
    let document: &Document<'_> = section.document();
    let Some(setting) = section.take("url") else {
        section.lacks("url", None);
        return None;
    };
    if matches!(setting.value(), DeValue::Table(_)) {
        let source = secret_source(setting, document, "url")?;
        return Some(Written { value: AddressSource::Secret(source.value), spot: source.spot });
    }
    let url = setting.read(value::receiver_url)?;
    Some(Written { value: AddressSource::Here(url.value), spot: url.spot })
}
