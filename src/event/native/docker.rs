//! Docker Cloud's events, and Tutum's before it.
//!
//! ```json
//! {"type":"action","action":"update","parents":["/api/app/v1/ns/container/0b0e/"],
//!  "resource_uri":"/api/app/v1/ns/action/49f0/","state":"Success","uuid":"093b","datetime":"2016-02-01T16:47:28Z"}
//! ```
//! The event's type is `TYPE.ACTION`, its subject the object, its id the `uuid`, its time `datetime`, its source the
//! namespace (`/api/audit/v1/NAMESPACE/`, whatever part of the API the object is in). Tutum's first events had no
//! `state`, `uuid` and `datetime`, and its objects no namespace.
//! Invariant: `auth` and `error` are what the stream itself says, never an event.

use bytes::Bytes;
use serde_json::Value;

use super::{Fresh, draft, text};
use crate::event::fault::DecodeError;
use crate::event::model::{Draft, Invalid};
use crate::event::time::is_rfc3339;
use crate::time::Timestamp;

/// What the stream says of itself: no event may be of these types.
pub const RESERVED: [&str; 2] = ["auth", "error"];

/// Whether an object has the shape of one.
pub fn is(value: &Value) -> bool {
    ["type", "action", "resource_uri"]
        .into_iter()
        .all(|name| text(value, name).is_some())
        && parents(value).is_ok()
}

/// The parents of the object, as the event names them; `null` and none are no parents.
///
/// # Errors
/// They are something else than strings in an array.
pub fn parents(value: &Value) -> Result<Vec<&str>, Invalid> {
    let refuse = || Invalid::new("parents", "must be an array of resource URIs");
    match value.get("parents") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(refuse)).collect(),
        Some(_) => Err(refuse()),
    }
}

/// Reads one; `value` is what `bytes` say.
pub(super) fn read(bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
    let part = |name| text(value, name).unwrap_or_default();
    if RESERVED.contains(&part("type")) {
        let rule = "must be that of an object: `auth` and `error` are what the stream itself says";
        return Err(Invalid::new("type", rule).into());
    }
    optional(value, "state")?;
    let (uuid, datetime) = (optional(value, "uuid")?, optional(value, "datetime")?);
    let uri = part("resource_uri");
    let source = namespace(uri).map(|name| format!("/api/audit/v1/{name}/"));
    let ty = format!("{}.{}", part("type"), part("action"));
    let mut draft = draft(bytes, ty, "/docker-cloud", fresh);
    draft.source = source.unwrap_or(draft.source);
    draft.subject = Some(uri.to_owned());
    draft.id = uuid.map_or(draft.id, str::to_owned);
    if let Some(datetime) = datetime {
        draft.time = Some(time(datetime)?);
    }
    Ok(draft)
}

/// A string that may be missing, `null` or empty.
fn optional<'a>(value: &'a Value, name: &str) -> Result<Option<&'a str>, Invalid> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(Invalid::new(name, "must be a string")),
    }
}

/// The namespace in `/api/<part>/v1/<namespace>/<type>/<uuid>/`; Tutum's `/api/v1/<type>/<uuid>/` has none.
fn namespace(uri: &str) -> Option<&str> {
    let mut parts = uri.strip_prefix("/api/")?.split('/');
    let (_part, version, namespace, _type, _uuid) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let named = version == "v1" && !namespace.is_empty() && namespace.bytes().all(plain);
    named.then_some(namespace)
}

/// `datetime` as RFC 3339. Old producers left out the zone (UTC), or wrote it as in mails.
fn time(datetime: &str) -> Result<String, Invalid> {
    if is_rfc3339(datetime) {
        return Ok(datetime.to_owned());
    }
    let in_utc = datetime.parse::<jiff::civil::DateTime>().ok();
    let in_utc = in_utc.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let read = in_utc.map(|zoned| zoned.timestamp()).or_else(|| {
        let mail = jiff::fmt::rfc2822::parse(datetime).ok()?;
        Some(mail.timestamp())
    });
    match read.or_else(|| datetime.parse().ok()) {
        Some(at) => Ok(Timestamp(at.as_millisecond()).to_string()),
        None => Err(Invalid::new(
            "datetime",
            "must be ISO 8601, such as `2016-02-01T16:47:28Z`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::event::native::{System, decode};

    fn fresh() -> Fresh<'static> {
        Fresh {
            now: Timestamp(1_454_345_248_000),
            bits: 7,
            source: None,
        }
    }

    fn check(object: &Value, expected: Result<[&str; 5], &str>) {
        let read = decode(object.to_string().into(), Some(System::DockerCloud), &fresh());
        match (read.as_deref(), expected) {
            (Ok([event]), Ok([id, source, ty, subject, time])) => {
                let found = [
                    event.id(),
                    event.source(),
                    event.ty(),
                    event.subject().unwrap(),
                    event.time().unwrap(),
                ];
                assert_eq!(found, [id, source, ty, subject, time], "{object}");
                assert_eq!(event.data().unwrap().bytes, object.to_string().as_bytes());
            }
            (Err(fault), Err(words)) => assert!(fault.to_string().contains(words), "{object}: {fault}"),
            (read, _) => panic!("{object}: {read:?}"),
        }
    }

    /// The documented event, with these fields instead.
    fn with(fields: Value) -> Value {
        let mut object = json!({
            "type": "action", "action": "update", "parents": ["/api/app/v1/ns/container/0b0e/"], "state": "Success",
            "resource_uri": "/api/app/v1/ns/action/49f0/", "uuid": "093b", "datetime": "2016-02-01T16:47:28Z",
        });
        for (name, value) in fields.as_object().unwrap() {
            object[name] = value.clone();
        }
        object
    }

    #[test]
    fn attributes_come_from_the_fields() {
        let (id, source, ty) = ("093b", "/api/audit/v1/ns/", "action.update");
        let (object, time) = ("/api/app/v1/ns/action/49f0/", "2016-02-01T16:47:28Z");
        check(&with(json!({})), Ok([id, source, ty, object, time]));
        check(
            &with(json!({"parents": null, "state": null})),
            Ok([id, source, ty, object, time]),
        );
        let node = "/api/infra/v1/other.ns-1/node/1/";
        check(
            &with(json!({"resource_uri": node})),
            Ok([id, "/api/audit/v1/other.ns-1/", ty, node, time]),
        );
        for (written, read) in [
            ("2016-02-01T16:47:28.123456+01:00", "2016-02-01T16:47:28.123456+01:00"),
            ("2016-02-01T16:47:28", "2016-02-01T16:47:28.000Z"),
            ("2016-02-01 16:47:28.5", "2016-02-01T16:47:28.500Z"),
            ("Mon, 01 Feb 2016 16:47:28 +0000", "2016-02-01T16:47:28.000Z"),
            ("", "2016-02-01T16:47:28.000Z"),
        ] {
            check(&with(json!({"datetime": written})), Ok([id, source, ty, object, read]));
        }
    }

    #[test]
    fn what_tutum_first_sent_is_enough() {
        let (uri, now) = ("/api/v1/container/1/", "2016-02-01T16:47:28.000Z");
        let fresh_id = "00000000000000000000000000000007";
        let early = json!({"type": "container", "action": "create", "parents": [], "resource_uri": uri});
        check(&early, Ok([fresh_id, "/docker-cloud", "container.create", uri, now]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, words) in [
            (json!({"type": ""}), "expected an event of Docker Cloud's"),
            (json!({"action": 3}), "expected an event of Docker Cloud's"),
            (json!({"parents": "x"}), "expected an event of Docker Cloud's"),
            (json!({"type": "error"}), "attribute `type` must be that of an object"),
            (json!({"type": "auth"}), "attribute `type` must be that of an object"),
            (json!({"state": 1}), "attribute `state` must be a string"),
            (json!({"uuid": {}}), "attribute `uuid` must be a string"),
            (json!({"datetime": "soon"}), "attribute `datetime` must be ISO 8601"),
        ] {
            check(&with(fields), Err(words));
        }
    }

    proptest! {
        #[test]
        fn any_object_is_read_or_refused(uri in "(/(api|v1|[a-z]{0,3}))*/?", datetime in "\\PC{0,30}", state in "\\PC{0,9}") {
            let object = with(json!({"resource_uri": uri, "datetime": datetime, "state": state}));
            if let Ok(events) = decode(object.to_string().into(), None, &fresh()) {
                prop_assert_eq!(events.len(), 1);
            }
        }
    }
}
