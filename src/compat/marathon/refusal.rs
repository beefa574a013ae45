//! What is refused, in Marathon's words: `{"message": …}`, with `details` where a value was at fault.
//!
//! Clients show these texts to people and some look for them, so they are Marathon's own wherever it has one.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::compat::body::Unread;
use crate::error::{Error, Kind};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Body,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

#[derive(Debug)]
enum Body {
    Json(Words),
    Page(String),
}

#[derive(Debug, Serialize)]
struct Words {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

#[derive(Debug, Serialize)]
struct Detail {
    path: &'static str,
    errors: Vec<String>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            body: Body::Json(Words {
                message: message.into(),
                details: Vec::new(),
            }),
            header: None,
        }
    }

    fn with_detail(status: StatusCode, message: &str, why: String) -> Self {
        Self {
            body: Body::Json(Words {
                message: message.to_owned(),
                details: vec![Detail {
                    path: "/",
                    errors: vec![why],
                }],
            }),
            ..Self::new(status, "")
        }
    }

    /// Callbacks are turned off.
    pub(super) fn no_callbacks() -> Self {
        let text = "http event callback system is not running on this Marathon instance. \
                    Please re-start this instance with\n\"--event_subscriber http_callback\".";
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// A value is not what it should be: `why` is Java's text.
    pub(super) fn not_valid(why: impl Into<String>) -> Self {
        Self::with_detail(StatusCode::UNPROCESSABLE_ENTITY, "Object is not valid", why.into())
    }

    /// The body is not an event.
    pub(super) fn not_json(why: impl Into<String>) -> Self {
        Self::with_detail(StatusCode::BAD_REQUEST, "Invalid JSON", why.into())
    }

    /// The body could not be read.
    pub(super) fn unread(unread: &Unread) -> Self {
        Self::new(unread.status(), unread.words())
    }

    /// Credentials are missing or wrong.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid username or password.")
    }

    /// These credentials do not open this.
    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not Authorized to perform this action!")
    }

    /// A web page of another site asked for a change.
    pub(super) fn other_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "the header `Origin` names another site than `Host`: web pages may only read here",
        )
    }

    /// There is nothing here.
    pub(super) fn no_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("URI not found: {path}"))
    }

    /// This path does not take this method.
    pub(super) fn method(allowed: &'static str) -> Self {
        Self {
            header: Some(Box::new((header::ALLOW, HeaderValue::from_static(allowed)))),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        }
    }

    /// The same where a servlet of Jetty's answers, and not Marathon.
    pub(super) fn page(method: &Method, path: &str) -> Self {
        let reason = format!("HTTP method {} is not supported by this URL", escape(method.as_str()));
        let page = format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error 405 {reason}</title>\n</head>\n<body>\n<h2>HTTP ERROR: 405</h2>\n\
             <p>Problem accessing {}. Reason:\n<pre>    {reason}</pre></p>\n<hr />\n</body>\n</html>\n",
            escape(path)
        );
        Self {
            body: Body::Page(page),
            ..Self::method("GET, HEAD, OPTIONS")
        }
    }

    /// What is wrong, for people.
    pub(super) fn words(&self) -> String {
        match &self.body {
            Body::Page(page) => page.clone(),
            Body::Json(message) => match message.details.first().and_then(|detail| detail.errors.first()) {
                Some(why) => why.clone(),
                None => message.message.clone(),
            },
        }
    }

    /// The answer; `realm` is for the challenge of a 401.
    pub(super) fn answer(self, realm: &str) -> Response {
        let mut response = match self.body {
            Body::Json(message) => {
                // A struct of texts is always JSON.
                let text = serde_json::to_vec(&message).unwrap_or_default();
                (self.status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
            }
            Body::Page(page) => {
                let kind = [(header::CONTENT_TYPE, "text/html;charset=ISO-8859-1")];
                (self.status, kind, page).into_response()
            }
        };
        if let Some(header) = self.header {
            let (name, value) = *header;
            response.headers_mut().insert(name, value);
        }
        if self.status == StatusCode::UNAUTHORIZED
            && let Ok(challenge) = HeaderValue::from_str(&format!("basic realm=\"{realm}\""))
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Busy { .. } if error.code() == "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
            Kind::Busy { .. } | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => {
                tracing::error!(reason = ?error, "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let wait = match error.kind() {
            Kind::Busy { retry_after } => {
                let seconds = HeaderValue::from(retry_after.as_secs().max(1));
                Some(Box::new((header::RETRY_AFTER, seconds)))
            }
            _ => None,
        };
        Self {
            header: wait,
            ..Self::new(status, error.message())
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
