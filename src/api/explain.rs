//! `/v1/explain`: why an event did, or did not, reach a subscriber.

use axum::extract::State;
use axum::http::Uri;
use serde_json::json;

use super::error::Answer;
use super::query::{Query, invalid};
use super::{Door, body};
use crate::hub::Question;
use crate::log::Offset;

/// `GET ?offset=17&subscription=orders&notify=false`.
pub(super) async fn show(State(door): State<Door>, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["offset", "subscription", "notify"])?;
    let offset = query.number("offset")?.map(Offset);
    let question = Question {
        offset: offset.ok_or_else(|| invalid("offset", "is needed: the event's, as publishing answers it"))?,
        subscription: query
            .one("subscription")?
            .ok_or_else(|| invalid("subscription", "is needed: the subscription's id"))?
            .to_owned(),
        notify: match query.one("notify")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(invalid("notify", format_args!("must be true or false, not `{other}`")).into()),
        },
    };
    Ok(body::ok(&json!(door.hub.explain(&question).await?)))
}
