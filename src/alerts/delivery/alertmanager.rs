//! The body that `/api/v2/alerts` of an Alertmanager takes.
//!
//! Source: `postableAlerts` in Alertmanager's `api/v2/openapi.yaml`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Desk;
use super::item::Item;
use crate::domain::Period;

/// An alert that is not told again within so many times the resend time is taken to be over, as Prometheus does it: a
/// daemon that died leaves nothing firing for ever.
const OVER_AFTER: i64 = 4;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

pub(super) fn body(desk: &Desk, items: &[Item<'_>], now: Timestamp, resend_every: Period) -> String {
    let length = SignedDuration::from_secs(i64::try_from(resend_every.as_secs()).unwrap_or(i64::MAX));
    let open = now.saturating_add(length.saturating_mul(OVER_AFTER as i32)).unwrap_or(Timestamp::MAX);
    let alerts: Vec<_> = items
        .iter()
        .map(|item| Postable {
            labels: item.labels(&desk.instance),
            annotations: item.annotations(desk.runbook.as_deref()),
            starts_at: item.since,
            // Of a clock that was set back since: an alert that ends before it begins is refused, and all with it.
            ends_at: item.ended.unwrap_or(open).max(item.since),
        })
        .collect();
    serde_json::to_string(&alerts).expect("texts, times and maps of texts are JSON")
}
