//! What a request is for: a document is shown, a key is read, a key is rotated. No faults but the one in the deed itself.

use std::sync::Arc;

use hyper::StatusCode;

use super::api::{self, View};
use super::call::Call;
use super::clock;
use super::fault::{FaultKind, Stage};
use super::reply::{ApiError, Content, Reply};
use super::resource::Resource;
use super::spec::PutReply;
use super::state::Shared;
use super::truth::PutOutcome;

impl Call {
    /// The deed itself, without a fault.
    pub(super) fn act(&self, shared: &Shared, body: &[u8]) -> Result<Reply, ApiError> {
        let resource = self.resource.as_ref().ok_or_else(|| {
            let detail = "Cannot find resource.";
            ApiError::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", detail)
        })?;
        let (layout, access) = {
            let state = shared.state();
            (state.world.layout(), Arc::clone(&state.access))
        };
        let settings = &shared.settings;
        let view = View {
            layout: &layout,
            query: self.query.as_ref().map_err(Clone::clone)?,
            url: &settings.url,
            page_cap: settings.page_cap,
            now: self.received,
            access: &access,
            caller: &settings.public_key,
        };
        match (resource, self.method.as_str()) {
            (Resource::EncryptionKey(p, c), "GET") => self.show_key(shared, &view, p, c),
            (Resource::EncryptionKey(p, c), "PUT") => self.rotate(shared, &view, p, c, body),
            (Resource::Document(document), "GET") => view.show(document),
            _ => {
                let detail = "The method is not allowed for this resource.";
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Err(ApiError::new(status, "METHOD_NOT_ALLOWED", detail))
            }
        }
    }

    fn show_key(&self, shared: &Shared, view: &View<'_>, p: &str, c: &str) -> Result<Reply, ApiError> {
        let (_, entry) = api::find(view.layout, p, c)?;
        if let Some(refusal) = api::key_refusal(entry, false, shared.settings.disabled_status) {
            return Err(refusal);
        }
        let key = shared.state().world.poll(c, clock::now());
        let key = key.filter(|_| entry.backup.encryption_enabled);
        Ok(Reply::ok(view.key(p, c, key.as_deref())))
    }

    fn rotate(&self, shared: &Shared, view: &View<'_>, p: &str, c: &str, body: &[u8]) -> Result<Reply, ApiError> {
        let allowed = api::find(view.layout, p, c).and_then(|(_, entry)| {
            let refusal = api::key_refusal(entry, true, shared.settings.disabled_status);
            refusal.map_or(Ok(()), Err)
        });
        if let Err(error) = allowed.and_then(|()| check_body(body)) {
            let code = error.code.unwrap_or_default().to_owned();
            self.note(shared, PutOutcome::Refused { code });
            return Err(error);
        }
        let keep = self.strike(shared, Stage::Act);
        let outcome = if keep.contains(&FaultKind::NeverChanges) {
            PutOutcome::Kept
        } else {
            let world = &mut shared.state().world;
            match world.rotate(c, self.number, clock::now()) {
                Some(key) => PutOutcome::Changed { key },
                None => PutOutcome::Kept,
            }
        };
        self.note(shared, outcome);
        let content = match shared.settings.put_reply {
            PutReply::EmptyObject => Content::Document(serde_json::json!({})),
            PutReply::Nothing => Content::Nothing,
        };
        Ok(Reply::new(StatusCode::CREATED, content))
    }
}

/// Nothing, or an object without fields: the resource takes no parameters, and unknown ones are refused.
fn check_body(body: &[u8]) -> Result<(), ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let bad = |code, detail: String| Err(ApiError::new(StatusCode::BAD_REQUEST, code, detail));
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(fields)) => match fields.keys().next() {
            None => Ok(()),
            Some(name) => bad("INVALID_ATTRIBUTE", format!("Invalid attribute {name} specified.")),
        },
        Ok(_) | Err(_) => bad("INVALID_JSON", "Received JSON is malformed.".into()),
    }
}
