//! A request's body, read whole: within a limit, and within a time.
//!
//! Invariant: no body is waited for without end; whoever trickles one in holds a connection, of which there are not many.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::access::caller;

/// A body must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a body was not read; each system says it in its own form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than this many bytes.
    TooLarge(usize),
    /// It broke off, or its chunks are malformed.
    Incomplete,
    /// It took longer than this.
    TooSlow(Duration),
    /// The credentials that it came with are good no more.
    Revoked,
}

impl Unread {
    /// The status to answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Revoked => StatusCode::UNAUTHORIZED,
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::TooLarge(most) => format!("the body is larger than {most} bytes, the limit for this request"),
            Self::Incomplete => "the body did not come whole: the connection ended within it".to_owned(),
            Self::TooSlow(patience) => format!("the body was not complete within {} seconds", patience.as_secs()),
            Self::Revoked => "these credentials were revoked, or expired, before the body had come".to_owned(),
        }
    }
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, Unread> {
    let whole = read_within(body, most, PATIENCE).await?;
    if caller::has_ended() {
        Err(Unread::Revoked)
    } else {
        Ok(whole)
    }
}

async fn read_within(body: Body, most: usize, patience: Duration) -> Result<Bytes, Unread> {
    match tokio::time::timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Unread::TooLarge(most)),
        Ok(Err(_)) => Err(Unread::Incomplete),
        Err(_) => Err(Unread::TooSlow(patience)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_has_a_limit_an_end_and_a_time() {
        let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("cut"))]);
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let short = Duration::from_millis(1);
        for (body, patience, expected) in [
            (Body::from("abcd"), PATIENCE, Ok(Bytes::from_static(b"abcd"))),
            (Body::from("abcde"), PATIENCE, Err(Unread::TooLarge(4))),
            (Body::from_stream(broken), PATIENCE, Err(Unread::Incomplete)),
            (Body::from_stream(never), short, Err(Unread::TooSlow(short))),
        ] {
            assert_eq!(read_within(body, 4, patience).await, expected);
        }
    }
}
