//! The way to the hub, or to a Pulp; and what a refusal means, in pulp-admin's words and codes.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::super::exit::{Code, Failure};
use super::account::Account;
use super::page::Page;
use crate::net::{Direct, Error};

/// As pulp-admin's own.
const PATIENCE: Duration = Duration::from_secs(120);

/// A hub or a Pulp.
pub(super) struct Server {
    url: String,
    way: Direct,
    authorization: Option<String>,
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nobody answers at this address.
    Unreachable(String, String),
    /// The answer is no.
    Answered(StatusCode, Value, String),
}

impl Server {
    /// The way there.
    ///
    /// # Errors
    /// The address is none.
    pub(super) fn new(account: &Account) -> Result<Self, Failure> {
        let way = Direct::new(&account.url, account.tls.trust()?);
        let way = way.map_err(|why| Failure::new(Code::Usage, format!("--url: {why}")))?;
        Ok(Self {
            url: account.url.trim_end_matches('/').to_owned(),
            way,
            authorization: account.authorization.clone(),
        })
    }

    /// One call; its document.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refused> {
        let unreachable = |error: Error| Refused::Unreachable(self.url.clone(), error.to_string());
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let sent = tokio::time::timeout(PATIENCE, self.send(method, path, body)).await;
        let (status, headers, bytes) = sent.unwrap_or(Err(Error::Timeout)).map_err(unreachable)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if let Some(warning) = headers.get(header::WARNING).and_then(|value| value.to_str().ok()) {
            aside(warning.trim_start_matches("199 busway ").trim_matches('"'));
        }
        match status.is_success() {
            true => Ok(document),
            false => Err(Refused::Answered(status, document, text)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let mut headers = vec![
            ("accept", "application/json"),
            ("accept-language", "en-us"),
            ("content-type", "application/json"),
        ];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let answer = self.way.send(method, path, &headers, body).await?;
        let (status, kept) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await;
        let body = body.map_err(|cause| Error::Broken(cause.to_string()))?;
        Ok((status, kept, body.to_bytes()))
    }
}

impl Refused {
    /// Tells it as pulp-admin does; how the program ends.
    pub(super) fn tell(&self, page: &mut Page) -> Code {
        let (status, document, text) = match self {
            Self::Unreachable(url, why) => {
                aside(why);
                page.message(&format!(
                    "The connection was refused when attempting to contact the server [{url}]. Check the client \
                     configuration to ensure the server hostname is correct."
                ));
                return Code::Io;
            }
            Self::Answered(status, document, text) => (*status, document, text),
        };
        match (status.as_u16(), document.get("error")) {
            (400, Some(error)) => {
                coded(page, error);
                Code::Data
            }
            (404, _) if document.get("resources").is_some() => {
                missing(page, document);
                Code::Data
            }
            (401, _) => {
                unauthorized(page, document);
                Code::NoPermission
            }
            (409, _) => {
                page.message(
                    "The requested operation could not execute due to an unexpected conflict on the server. More \
                     information may be found using the -v flag.",
                );
                Code::Data
            }
            _ => {
                let of = |name: &str| document.get(name).map(plain).unwrap_or_default();
                let words = match document.get("error_message") {
                    Some(words) => format!(
                        "RequestException: {} request on {} failed with {} - {}",
                        of("http_request_method"),
                        of("_href"),
                        status.as_u16(),
                        plain(words)
                    ),
                    None => format!("{status}: {}", text.chars().take(400).collect::<String>()),
                };
                page.message("An internal error occurred on the Pulp server:");
                page.message(&words);
                Code::Software
            }
        }
    }
}

/// An error and those within it.
fn coded(page: &mut Page, error: &Value) {
    let none = "Request error does not contain a description, please use -v option for more information.";
    page.message(error.get("description").and_then(Value::as_str).unwrap_or(none));
    let within = error.get("sub_errors").and_then(Value::as_array);
    within.into_iter().flatten().for_each(|error| coded(page, error));
}

fn missing(page: &mut Page, document: &Value) {
    page.message("The following resource(s) could not be found:");
    let resources = document.get("resources").and_then(Value::as_object);
    let lines = resources.into_iter().flatten();
    let lines: Vec<_> = lines.map(|(kind, id)| format!("  {} ({kind})", plain(id))).collect();
    page.message(&lines.join("\n"));
}

fn unauthorized(page: &mut Page, document: &Value) {
    let (title, more) = match document.get("auth_error_code").and_then(Value::as_str) {
        Some("authentication_failed" | "invalid_ssl_certificate") => (
            "Authentication Failed",
            "Use the login command to authenticate with the server and download a session certificate for use in future \
             calls to this script. If credentials were specified, please double check the username and password and \
             attempt the request again.",
        ),
        Some("permission_denied") => (
            "Insufficient Permissions",
            "The user does not have the appropriate permissions to execute this command.",
        ),
        Some("invalid_username_or_password") => ("Invalid Username or Password", ""),
        _ => (
            "Unknown Authentication Failure",
            "See the server logs for more information.",
        ),
    };
    page.message(title);
    if !more.is_empty() {
        page.message(more);
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What pulp-admin would not say.
pub(super) fn aside(text: &str) {
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(std::io::stderr(), "busway: {text}");
}
