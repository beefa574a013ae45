//! The way to a Marathon: where its events are, over a redirect to the leader, and whether what answers is a stream.
//!
//! Invariant: credentials go to the nodes that were named and to where those point, never from https to http, and never
//! into what is shown.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use url::Url;

use crate::cli::client::query;
use crate::cli::exit::{Code, Failure};
use crate::cli::source::tell;
use crate::net::{Client, Feed, Guard, GuardSettings, Trust};

/// An answer must begin within this time.
const HEAD: Duration = Duration::from_secs(15);

/// How a connection ended.
pub(super) enum End {
    /// As many events as were asked for have come.
    Enough,
    /// It broke, or could not be made.
    Broken(String),
    /// Marathon refuses: no use to try again.
    Refused(Failure),
}

/// Who connects.
pub(super) struct Connector {
    client: Client,
    authorization: Option<HeaderValue>,
}

impl Connector {
    /// With these credentials (`USER:PASSWORD`).
    ///
    /// # Errors
    /// In words: they cannot be sent.
    pub(super) fn new(credentials: Option<&str>, trust: Trust) -> Result<Self, String> {
        let client = Client::new(Guard::new(GuardSettings::default())).trusting(trust);
        let authorization = credentials.map(|text| HeaderValue::from_str(&format!("Basic {}", BASE64.encode(text))));
        let authorization = authorization
            .transpose()
            .map_err(|_| "--credentials cannot be sent".to_owned())?;
        Ok(Self { client, authorization })
    }

    /// Connects, over one redirect: who is not the leader points to it.
    pub(super) async fn open(&self, node: &Url) -> Result<Feed, End> {
        let feed = self.ask(node).await?;
        let moved = feed
            .headers
            .get(header::LOCATION)
            .filter(|_| feed.status.is_redirection());
        let Some(place) = moved else {
            return accepted(feed).await;
        };
        let leader = place.to_str().ok().and_then(|place| node.join(place).ok());
        let leader = leader.ok_or_else(|| End::Broken("it points to an address that is none".to_owned()))?;
        if node.scheme() == "https" && leader.scheme() != "https" {
            return Err(End::Broken(format!(
                "it points to {}, which is not https",
                shown(&leader)
            )));
        }
        tell(format_args!("{} is not the leader: {} is", shown(node), shown(&leader)));
        accepted(self.ask(&leader).await?).await
    }

    async fn ask(&self, url: &Url) -> Result<Feed, End> {
        let mut request = Request::get(url.as_str()).header(header::ACCEPT, "text/event-stream");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Bytes::new());
        let request = request.map_err(|cause| End::Broken(cause.to_string()))?;
        let opened = self.client.open(request, HEAD).await;
        opened.map_err(|error| End::Broken(error.to_string()))
    }
}

/// The answer, if it is a stream.
async fn accepted(mut feed: Feed) -> Result<Feed, End> {
    let kind = feed.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let stream = kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/event-stream"));
    if feed.status == StatusCode::OK && stream {
        return Ok(feed);
    }
    let words = match feed.next().await {
        Some(Ok(body)) if !body.is_empty() => {
            let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            format!(": {}", text.trim())
        }
        _ => String::new(),
    };
    let status = feed.status;
    let code = match status.as_u16() {
        401 | 403 => Code::NoPermission,
        404 => Code::NoInput,
        500..=599 => return Err(End::Broken(format!("it answered {status}{words}"))),
        _ => Code::Data,
    };
    let why = format!("no stream of events there: it answered {status}{words}");
    Err(End::Refused(Failure::new(code, why)))
}

/// Where a node's events are. A path that is given already is kept.
pub(super) fn events_of(node: &Url, types: &[String]) -> Url {
    let mut url = bare(node);
    if !url.path().ends_with("/v2/events") {
        let path = format!("{}/v2/events", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    let pairs: Vec<(&str, String)> = types.iter().map(|ty| ("event_type", ty.clone())).collect();
    let pairs = query(&pairs);
    url.set_query(pairs.strip_prefix('?'));
    url
}

/// The name of a cluster: its first node, as it was written.
pub(super) fn address_of(nodes: &[Url]) -> String {
    let first = nodes.first().map(|node| bare(node).to_string()).unwrap_or_default();
    first.trim_end_matches('/').to_owned()
}

/// The credentials in an address.
pub(super) fn inside(node: &Url) -> String {
    let plain = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    format!(
        "{}:{}",
        plain(node.username()),
        plain(node.password().unwrap_or_default())
    )
}

/// Without credentials: they would end in logs and in events.
fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    // Refused only where there is no host, which has been looked at.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_query(None);
    bare.set_fragment(None);
    bare
}

/// An address as it may be shown.
pub(super) fn shown(url: &Url) -> String {
    bare(url).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_its_events() {
        let types = ["a b".to_owned(), "c".to_owned()];
        for (node, types, url) in [
            ("http://m:8080", &types[..0], "http://m:8080/v2/events"),
            (
                "https://u:p@m/service/marathon/",
                &[],
                "https://m/service/marathon/v2/events",
            ),
            (
                "http://m/v2/events",
                &types,
                "http://m/v2/events?event_type=a%20b&event_type=c",
            ),
        ] {
            let node = Url::parse(node).unwrap();
            assert_eq!(events_of(&node, types).as_str(), url);
        }
        let node = Url::parse("http://u%40x:p%3Aw@m:8080/").unwrap();
        assert_eq!(inside(&node), "u@x:p:w");
        assert_eq!(address_of(&[node]), "http://m:8080");
    }
}
