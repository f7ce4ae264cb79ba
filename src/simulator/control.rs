//! The simulator's own routes, for other processes. They ask for no login and never take part in a fault.

use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::board::Board;
use super::clock;
use super::fault::Fault;
use super::payload::Payload;
use super::state::Shared;

/// What their paths begin with.
pub(super) const BASE: &str = "/_sim/";

/// What a person who strayed here is told.
const ROUTES: &str = "the simulator's routes: GET truth, GET requests, GET targets, GET faults, POST faults (an array of texts), \
                      POST foreign-rotation/TARGET, POST regression/TARGET, POST switches ({\"down\": bool, \
                      \"wrong_password\": bool})";

/// What can be switched; what is absent stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    down: Option<bool>,
    wrong_password: Option<bool>,
}

pub(super) fn answer(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Response<Payload> {
    let result = match (method.as_str(), path.split_once('/')) {
        ("GET", None) => show(shared, path),
        ("POST", None) => change(shared, path, body),
        ("POST", Some((deed, target))) => strike(shared, deed, target),
        _ => Err((StatusCode::NOT_FOUND, ROUTES.to_owned())),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(Payload::whole(value.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

type Outcome = Result<Value, (StatusCode, String)>;

fn not_found() -> Outcome {
    Err((StatusCode::NOT_FOUND, ROUTES.to_owned()))
}

fn show(shared: &Shared, what: &str) -> Outcome {
    match what {
        "truth" => {
            let truth = serde_json::to_value(shared.truth());
            truth.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
        }
        "requests" => Ok(json!(shared.state().counts)),
        "targets" => {
            let layout = shared.state().world.layout();
            let members = layout.entries().filter(|(_, entry)| !entry.is_parent());
            let rows = members.map(|(p, entry)| json!({"id": entry.id, "project": p.id, "name": entry.name}));
            Ok(rows.collect())
        }
        "faults" => {
            let state = shared.state();
            Ok(state.board.faults().map(|f| json!(f.to_string())).collect())
        }
        _ => not_found(),
    }
}

fn change(shared: &Shared, what: &str, body: &[u8]) -> Outcome {
    let bad = |e: String| (StatusCode::BAD_REQUEST, e);
    match what {
        "faults" => {
            let texts: Vec<String> = serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?;
            let faults = texts.iter().map(|text| text.parse::<Fault>());
            let faults: Result<Vec<Fault>, _> = faults.collect();
            let faults = faults.map_err(|e| bad(e.to_string()))?;
            shared.state().board = Board::new(shared.settings.seed, faults);
            Ok(json!({}))
        }
        "switches" => {
            let wanted: Switches = serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?;
            let mut state = shared.state();
            state.down = wanted.down.unwrap_or(state.down);
            state.wrong_password = wanted.wrong_password.unwrap_or(state.wrong_password);
            Ok(json!({"down": state.down, "wrong_password": state.wrong_password}))
        }
        _ => not_found(),
    }
}

fn strike(shared: &Shared, deed: &str, target: &str) -> Outcome {
    let world = &mut shared.state().world;
    let Some(id) = world.find(target) else {
        let message = format!("there is no target \"{target}\"; GET targets lists them");
        return Err((StatusCode::NOT_FOUND, message));
    };
    let done = match deed {
        "foreign-rotation" => world.rotate_foreign(&id, clock::now()),
        "regression" => world.regress(&id, clock::now()),
        _ => return not_found(),
    };
    if done {
        Ok(json!({}))
    } else {
        let message = format!("\"{target}\" never had another key");
        Err((StatusCode::CONFLICT, message))
    }
}
