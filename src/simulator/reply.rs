//! How the API says things: documents, lists in pages, envelopes, pretty print, and error documents.

use hyper::StatusCode;
use serde_json::{Value, json};

/// A reply before it is put into bytes.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content: Content,
    /// In seconds.
    pub(super) retry_after: Option<u32>,
}

#[derive(Debug)]
pub(super) enum Content {
    Document(Value),
    /// An object with `results`, to which an envelope adds only the status.
    List(Value),
    Nothing,
}

impl Reply {
    pub(super) fn ok(document: Value) -> Self {
        Self::new(StatusCode::OK, Content::Document(document))
    }

    pub(super) fn new(status: StatusCode, content: Content) -> Self {
        Self { status, content, retry_after: None }
    }

    /// The bytes of the body.
    pub(super) fn bytes(&self, query: &Query) -> Vec<u8> {
        let status = self.status.as_u16();
        let value = match &self.content {
            Content::Nothing => return Vec::new(),
            Content::Document(document) if query.envelope => {
                json!({"status": status, "content": document})
            }
            Content::List(list) if query.envelope => {
                let mut list = list.clone();
                add(&mut list, "status", status);
                list
            }
            Content::Document(value) | Content::List(value) => value.clone(),
        };
        if query.pretty { format!("{value:#}").into_bytes() } else { value.to_string().into_bytes() }
    }
}

/// An error document.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// Absent in one case only: bad credentials.
    pub(super) code: Option<&'static str>,
    pub(super) detail: String,
    pub(super) parameters: Vec<String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code: Some(code), detail: detail.into(), parameters: Vec::new() }
    }

    pub(super) fn with(mut self, parameters: &[&str]) -> Self {
        self.parameters = parameters.iter().map(|&p| p.to_owned()).collect();
        self
    }

    /// A role is missing.
    pub(super) fn unauthorized() -> Self {
        let detail = "The current user is not authorized to perform the operation.";
        Self::new(StatusCode::UNAUTHORIZED, "USER_UNAUTHORIZED", detail)
    }

    pub(super) fn bad_credentials() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: None,
            detail: "You are not authorized for this resource.".into(),
            parameters: Vec::new(),
        }
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let mut document = json!({
            "error": error.status.as_u16(),
            "reason": error.status.canonical_reason().unwrap_or_default(),
            "detail": error.detail,
        });
        if let Some(code) = error.code {
            add(&mut document, "errorCode", code);
            add(&mut document, "parameters", error.parameters);
        }
        Self::new(error.status, Content::Document(document))
    }
}

/// The query parameters that every resource understands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Query {
    pub(super) pretty: bool,
    pub(super) envelope: bool,
    page_num: Option<usize>,
    items_per_page: Option<usize>,
}

impl Query {
    /// Unknown parameters are ignored, as the real server does with most of them.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let positive = || match value.parse() {
                Ok(number) if number > 0 => Ok(Some(number)),
                Ok(_) | Err(_) => Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "INVALID_QUERY_PARAMETER",
                    format!("Invalid query parameter {name} specified."),
                )
                .with(&[name])),
            };
            match name {
                "pretty" => query.pretty = value == "true",
                "envelope" => query.envelope = value == "true",
                "pageNum" => query.page_num = positive()?,
                "itemsPerPage" => query.items_per_page = positive()?,
                _ => {}
            }
        }
        Ok(query)
    }

    /// One page of `items`, and the links to its neighbours. `cap` is the most that a page may hold.
    pub(super) fn page<T>(&self, items: &[T], url: &str, cap: usize, show: impl Fn(&T) -> Value) -> Reply {
        let size = self.items_per_page.unwrap_or(100).min(cap).max(1);
        let number = self.page_num.unwrap_or(1);
        let start = (number - 1).saturating_mul(size);
        let results: Vec<Value> = items.iter().skip(start).take(size).map(show).collect();
        let href = |page: usize| format!("{url}?pageNum={page}&itemsPerPage={size}");
        let mut links = vec![link("self", &href(number))];
        if start.saturating_add(size) < items.len() {
            links.push(link("next", &href(number + 1)));
        }
        if number > 1 {
            links.push(link("previous", &href(number - 1)));
        }
        let list = json!({"results": results, "totalCount": items.len(), "links": links});
        Reply::new(StatusCode::OK, Content::List(list))
    }
}

/// Adds a field to an object.
pub(super) fn add(document: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = document {
        fields.insert(name.to_owned(), value.into());
    }
}

pub(super) fn link(rel: &str, href: &str) -> Value {
    json!({"rel": rel, "href": href})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(query: &str, count: usize, cap: usize) -> Value {
        let items: Vec<usize> = (1..=count).collect();
        let query = Query::parse(query).unwrap();
        let reply = query.page(&items, "http://om/x", cap, |n| json!(n));
        serde_json::from_slice(&reply.bytes(&query)).unwrap()
    }

    /// Every item is on exactly one page, and `next` leads from the first page to the last.
    #[test]
    fn pages_hold_everything_once() {
        let first = pages("itemsPerPage=2", 5, 500);
        assert_eq!(first["results"], json!([1, 2]));
        assert_eq!(first["totalCount"], 5);
        let next = "http://om/x?pageNum=2&itemsPerPage=2";
        assert_eq!(first["links"][1], link("next", next));
        let last = pages("pageNum=3&itemsPerPage=2", 5, 500);
        assert_eq!(last["results"], json!([5]));
        let rels: Vec<_> = last["links"].as_array().unwrap().iter().collect();
        assert!(rels.iter().all(|link| link["rel"] != "next"));
        assert_eq!(pages("pageNum=9", 5, 500)["results"], json!([]));
    }

    /// An old server gives fewer than were asked for, and its links say so.
    #[test]
    fn a_page_never_exceeds_the_cap() {
        let page = pages("itemsPerPage=500", 250, 100);
        assert_eq!(page["results"].as_array().unwrap().len(), 100);
        let next = "http://om/x?pageNum=2&itemsPerPage=100";
        assert_eq!(page["links"][1]["href"], next);
    }

    /// Envelopes wrap one object and are merely marked on a list.
    #[test]
    fn envelopes_differ_for_lists() {
        let list = pages("envelope=true", 1, 500);
        assert_eq!(list["status"], 200);
        assert_eq!(list["results"], json!([1]));
        let query = Query::parse("envelope=true&pretty=true").unwrap();
        let bytes = Reply::ok(json!({"a": 1})).bytes(&query);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains('\n'), "pretty: {text}");
        let one: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(one, json!({"status": 200, "content": {"a": 1}}));
    }

    /// The only sign by which a wrong password differs from a missing role is the error code.
    #[test]
    fn bad_credentials_have_no_error_code() {
        let reply = Reply::from(ApiError::bad_credentials());
        let bytes = reply.bytes(&Query::default());
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(document["error"], 401);
        assert_eq!(document["reason"], "Unauthorized");
        assert!(document.get("errorCode").is_none());
        assert!(Query::parse("pageNum=0").is_err());
        assert!(Query::parse("itemsPerPage=many").is_err());
    }
}
