//! Answers: JSON, and errors that say what to do.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};

/// `body`, a JSON text.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    of_type(status, "application/json", body)
}

/// `{"error": …}`.
pub(super) fn refused(status: StatusCode, error: &str) -> Response<Body> {
    json(status, serde_json::json!({ "error": error }).to_string())
}

pub(super) fn of_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
