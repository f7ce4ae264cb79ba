//! The body that a webhook gets: Alertmanager's, version 4, so that receivers made for Alertmanager understand it.
//!
//! Source: the section `webhook_config` of Alertmanager's documentation of its configuration.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Desk;
use super::item::Item;
use crate::domain::ReceiverName;

/// What Alertmanager writes for the end of an alert that has none.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    version: &'static str,
    group_key: &'static str,
    /// What does not fit follows in the next message.
    truncated_alerts: u32,
    /// `firing` as long as one of them does.
    status: &'static str,
    receiver: &'a ReceiverName,
    group_labels: BTreeMap<&'static str, String>,
    common_labels: BTreeMap<&'static str, String>,
    common_annotations: BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    alerts: Vec<Told>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    status: &'static str,
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: String,
}

pub(super) fn body(receiver: &ReceiverName, desk: &Desk, items: &[Item<'_>]) -> String {
    let (instance, runbook) = (&*desk.instance, desk.runbook.as_deref());
    let alerts = items.iter().map(|item| Told {
        status: status(item.ended.is_none()),
        labels: item.labels(instance),
        annotations: item.annotations(runbook),
        starts_at: item.since.to_string(),
        ends_at: item.ended.map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
        generator_url: "",
        fingerprint: item.fingerprint(),
    });
    let message = Message {
        version: "4",
        group_key: "rekeyd",
        truncated_alerts: 0,
        status: status(items.iter().any(|item| item.ended.is_none())),
        receiver,
        group_labels: BTreeMap::new(),
        common_labels: BTreeMap::from([("job", "rekeyd".to_owned()), ("instance", instance.to_owned())]),
        common_annotations: BTreeMap::new(),
        external_url: "",
        alerts: alerts.collect(),
    };
    serde_json::to_string(&message).expect("texts and maps of texts are JSON")
}

const fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}
