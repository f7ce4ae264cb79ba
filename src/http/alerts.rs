//! `/api/v1/alerts`: everything that is wrong now.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::Timestamp;
use serde::Serialize;

use super::problem::{Problem, asked_nothing};
use super::router::{Shared, compute};
use crate::alerts::{Alert, fire};
use crate::domain::{AlertKind, AlertSubject};

/// `{ "alerts": [...] }`.
#[derive(Serialize)]
pub(super) struct Alerts {
    alerts: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    alert: AlertKind,
    severity: &'static str,
    /// `{"target": id}`, `{"manager": name}`, `{"cluster": path}`, `{"project": path}`, `{"receiver": name}` or `"daemon"`.
    subject: AlertSubject,
    name: String,
    /// When the condition came true; null where that is not known.
    since: Option<Timestamp>,
    words: String,
}

impl From<Alert> for Shown {
    fn from(alert: Alert) -> Self {
        let Alert { kind, subject, name, severity, since, words } = alert;
        Self { alert: kind, severity: severity.as_str(), subject, name, since, words }
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Alerts>, Problem> {
    asked_nothing(query)?;
    let alerts = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        fire(&situation, &rules).into_iter().map(Shown::from).collect()
    })
    .await?;
    Ok(Json(Alerts { alerts }))
}
