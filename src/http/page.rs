//! `/`: what is wrong, and where the rest is.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::problem::Problem;
use super::router::{ROUTES, Shared, compute};
use crate::alerts::{Alert, fire};
use crate::ports::Situation;

/// So many alerts are shown; `/api/v1/alerts` has them all.
const SHOWN: usize = 200;

pub(super) async fn landing(State(shared): State<Arc<Shared>>) -> Result<Html<String>, Problem> {
    let page = compute(move || {
        let (situation, rules) = shared.look();
        page(&situation, &fire(&situation, &rules))
    })
    .await?;
    Ok(Html(page))
}

fn page(situation: &Situation, alerts: &[Alert]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>rekeyd</title>\n<h1>rekeyd {}</h1>\n\
         <p>As of {:.0}: {} targets, {} records, {} alerts.</p>\n",
        env!("CARGO_PKG_VERSION"),
        situation.now,
        situation.fleet.targets.len(),
        situation.head.seq,
        alerts.len()
    );
    if let Some((since, why)) = &situation.unwritable {
        let _ = writeln!(
            html,
            "<p><strong>Since {since:.0} the ledger can not be written, so nothing is rotated: {}</strong></p>",
            escaped(why)
        );
    }
    if alerts.is_empty() {
        html.push_str("<p>No alert fires.</p>\n");
    } else {
        html.push_str("<table>\n<tr><th>severity<th>alert<th>since<th>what\n");
        for alert in alerts.iter().take(SHOWN) {
            let since = alert.since.map(|since| format!("{since:.0}")).unwrap_or_default();
            let _ = writeln!(
                html,
                "<tr><td>{}<td>{}<td>{since}<td>{}",
                alert.severity.as_str(),
                alert.kind.as_str(),
                escaped(&alert.words)
            );
        }
        html.push_str("</table>\n");
        if alerts.len() > SHOWN {
            let _ = writeln!(html, "<p>The first {SHOWN} are shown; <a href=\"/api/v1/alerts\">all of them</a>.</p>");
        }
    }
    html.push_str("<ul>\n");
    for route in ROUTES {
        let _ = writeln!(html, "<li><a href=\"{route}\">{route}</a>");
    }
    html.push_str("</ul>\n</html>\n");
    html
}

/// As text within an element or a quoted attribute. Names come from managers, and those have them from whoever may
/// create a deployment.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
