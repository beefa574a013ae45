//! Refusals in Pulp's words: its codes, its texts, its keys in one order.
//!
//! Invariant: what a refusal says of credentials does not tell whether the name or the password was wrong.

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::{Error, Kind};
use crate::event::native::pulp::python;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A property of the body cannot be that.
    Invalid(&'static str),
    /// There is no listener of this id.
    Missing(String),
    /// The body is not JSON.
    NotJson,
    /// The body is JSON, but no object.
    NotAnObject,
    /// The body is not UTF-8; how it begins.
    NotUtf8(String),
    /// Nobody said who they are.
    NoCredentials,
    /// Nobody is known by this name and password.
    WrongCredentials(String),
    /// This one may not do this.
    NotAllowed {
        /// Who.
        user: String,
        /// What, as Pulp names it.
        operation: &'static str,
    },
    /// What the hub itself says.
    Hub(Error),
}

/// Members of an object, in their order.
type Members = Vec<(&'static str, Value)>;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Hub(error)
    }
}

impl Refusal {
    /// The answer to this request.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Response {
        let (status, code, description) = self.words();
        if let Self::Hub(error) = self
            && matches!(error.kind(), Kind::Unavailable | Kind::Internal)
        {
            tracing::warn!(code = error.code(), reason = ?error, "a request to Pulp's events could not be served");
        }
        let (top, data) = self.details();
        let mut shared = vec![
            member("_href", &json!(path)),
            member("http_status", &json!(status.as_u16())),
            member("http_request_method", &json!(method.as_str())),
            member("error_message", &json!(description)),
            member("exception", &Value::Null),
            member("traceback", &Value::Null),
        ];
        shared.extend(top.iter().map(|(name, value)| member(name, value)));
        let data: Vec<String> = data.iter().map(|(name, value)| member(name, value)).collect();
        let error = [
            member("code", &json!(code)),
            member("description", &json!(description)),
            format!("\"data\":{{{}}}", data.join(",")),
            member("sub_errors", &json!([])),
        ];
        let text = format!("{{{},\"error\":{{{}}}}}", shared.join(","), error.join(","));
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (status, kind, python::spelled(&text)).into_response()
    }

    /// Status, code and text.
    fn words(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Invalid(name) => (
                StatusCode::BAD_REQUEST,
                "PLP0015",
                format!("Invalid properties: ['{name}']"),
            ),
            Self::Missing(id) => (
                StatusCode::NOT_FOUND,
                "PLP0009",
                format!("Missing resource(s): event_listener={id}"),
            ),
            Self::NotJson => (
                StatusCode::BAD_REQUEST,
                "PLP1009",
                "The request body does not contain valid JSON".to_owned(),
            ),
            Self::NotAnObject => (
                StatusCode::BAD_REQUEST,
                "PLP1015",
                "The JSON data must be of type 'dict'.".to_owned(),
            ),
            Self::NotUtf8(value) => (
                StatusCode::BAD_REQUEST,
                "PLP0019",
                format!("Pulp only accepts input encoded in UTF-8: {value}"),
            ),
            Self::NoCredentials => (StatusCode::UNAUTHORIZED, "PLP0025", "Authentication failed.".to_owned()),
            Self::WrongCredentials(user) => (
                StatusCode::UNAUTHORIZED,
                "PLP0030",
                format!("Authentication with username {user} failed: invalid username or password"),
            ),
            Self::NotAllowed { user, operation } => (
                StatusCode::UNAUTHORIZED,
                "PLP0026",
                format!("Permission denied: user {user} cannot perform {operation}."),
            ),
            Self::Hub(error) if error.code() == "rate_limited" => {
                (StatusCode::TOO_MANY_REQUESTS, "PLP0000", error.message().to_owned())
            }
            Self::Hub(error) => (status(error.kind()), "PLP0000", error.message().to_owned()),
        }
    }

    /// What stands at the top, beside what every refusal has; and the error's data.
    fn details(&self) -> (Members, Members) {
        let auth = |code: &str| vec![("auth_error_code", json!(code))];
        match self {
            Self::Invalid(name) => (
                vec![("property_names", json!([name]))],
                vec![
                    ("property_names", json!([name])),
                    ("properties", json!(format!("['{name}']"))),
                ],
            ),
            Self::Missing(id) => {
                let resources = json!({"event_listener": id});
                (vec![("resources", resources.clone())], vec![("resources", resources)])
            }
            Self::NotJson => (vec![("args", json!([]))], Vec::new()),
            Self::NotAnObject => (vec![("args", json!([]))], vec![("data_type", json!("dict"))]),
            Self::NotUtf8(value) => (vec![("value", json!(value))], vec![("value", json!(value))]),
            Self::NoCredentials => (auth("authentication_failed"), Vec::new()),
            Self::WrongCredentials(user) => (auth("invalid_username_or_password"), vec![("user", json!(user))]),
            Self::NotAllowed { user, operation } => (
                auth("permission_denied"),
                vec![("user", json!(user)), ("operation", json!(operation))],
            ),
            Self::Hub(error) => (Vec::new(), vec![("code", json!(error.code()))]),
        }
    }
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid | Kind::UnsupportedMedia => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Busy { .. } | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Written outright: the order of a map is its own.
fn member(name: &str, value: &Value) -> String {
    format!("\"{name}\":{value}")
}
