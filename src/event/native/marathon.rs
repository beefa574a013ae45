//! Marathon's events: every type that its event bus sent, from 0.8 to 1.8.
//!
//! One flat object each, with `eventType` and `timestamp` among its fields. The table says where each type names what
//! it is about; a type that is not in it is read all the same, since later versions and their plugins add some.
//! Invariant: nothing but `eventType` is asked for: a field that a version left out costs its attribute, no event.

use bytes::Bytes;
use serde_json::Value;

use super::{Fresh, draft, text};
use crate::event::fault::DecodeError;
use crate::event::is_rfc3339;
use crate::event::model::Draft;

/// The source of events whose sender nobody named.
const SOURCE: &str = "/marathon";

/// Every type, and where its subject stands: the first of these JSON pointers that leads to a text.
const TYPES: &[(&str, &[&str])] = &[
    ("api_post_event", &["/appDefinition/id", "/uri"]),
    ("pod_created_event", &["/uri"]),
    ("pod_updated_event", &["/uri"]),
    ("pod_deleted_event", &["/uri"]),
    ("scheduler_registered_event", &["/frameworkId"]),
    ("scheduler_reregistered_event", &["/master"]),
    ("scheduler_disconnected_event", &[]),
    ("subscribe_event", &["/callbackUrl"]),
    ("unsubscribe_event", &["/callbackUrl"]),
    ("event_stream_attached", &["/remoteAddress"]),
    ("event_stream_detached", &["/remoteAddress"]),
    ("add_health_check_event", &["/appId"]),
    ("remove_health_check_event", &["/appId"]),
    ("failed_health_check_event", &["/appId"]),
    ("health_status_changed_event", &["/appId"]),
    ("unhealthy_task_kill_event", &["/appId"]),
    ("unhealthy_instance_kill_event", &["/appId"]),
    ("group_change_success", &["/groupId"]),
    ("group_change_failed", &["/groupId"]),
    ("deployment_success", &["/id"]),
    ("deployment_failed", &["/id"]),
    ("deployment_info", &["/plan/id"]),
    ("deployment_step_success", &["/plan/id"]),
    ("deployment_step_failure", &["/plan/id"]),
    ("app_terminated_event", &["/appId"]),
    ("status_update_event", &["/appId"]),
    ("framework_message_event", &["/executorId"]),
    ("instance_changed_event", &["/runSpecId"]),
    ("instance_health_changed_event", &["/runSpecId"]),
    ("unknown_instance_terminated_event", &["/runSpecId"]),
];

/// Where a type that is not in the table may say what it is about.
const ELSEWHERE: &[&str] = &["/appId", "/groupId", "/runSpecId", "/plan/id", "/id", "/uri"];

/// Whether an object has the shape of one.
pub fn is(value: &Value) -> bool {
    text(value, "eventType").is_some()
}

/// Whether Marathon itself sends events of this type.
pub fn is_known(ty: &str) -> bool {
    TYPES.iter().any(|(known, _)| *known == ty)
}

/// Reads one; `value` is what `bytes` say.
pub(super) fn read(bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
    let ty = text(value, "eventType").unwrap_or_default();
    let mut draft = draft(bytes, ty.to_owned(), SOURCE, fresh);
    draft.subject = subject(ty, value);
    if let Some(time) = text(value, "timestamp").filter(|time| is_rfc3339(time)) {
        draft.time = Some(time.to_owned());
    }
    Ok(draft)
}

fn subject(ty: &str, value: &Value) -> Option<String> {
    let known = TYPES.iter().find(|(known, _)| *known == ty);
    let places = known.map_or(ELSEWHERE, |(_, places)| places);
    let found = places
        .iter()
        .find_map(|place| value.pointer(place)?.as_str().filter(|text| !text.is_empty()))?;
    // What cannot stand in an attribute stays in the data alone.
    (!found.chars().any(char::is_control)).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::native::{System, decode};
    use crate::time::Timestamp;

    fn check(body: &str, subject: Option<&str>, time: &str) {
        let fresh = Fresh {
            now: Timestamp(0),
            bits: 1,
            source: None,
        };
        let events = decode(Bytes::copy_from_slice(body.as_bytes()), Some(System::Marathon), &fresh).unwrap();
        let [event] = events.as_slice() else { panic!("{body}") };
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event.ty(), value["eventType"], "{body}");
        assert_eq!(event.subject(), subject, "{body}");
        assert_eq!(event.time(), Some(time), "{body}");
        assert_eq!(event.source(), SOURCE);
        assert_eq!(event.data().unwrap().bytes, body.as_bytes());
    }

    const THEN: &str = "2014-03-01T23:29:30.158Z";
    const NOW: &str = "1970-01-01T00:00:00.000Z";

    /// One event of each type, in the fields of its own.
    #[test]
    fn every_type_is_understood() {
        let rows = include_str!("../../../tests/fixtures/marathon/events.txt");
        let mut seen = Vec::new();
        for row in rows.lines().filter(|row| !row.is_empty() && !row.starts_with('#')) {
            let (subject, body) = row.split_once(' ').unwrap();
            check(body, (subject != "-").then_some(subject), THEN);
            let value: Value = serde_json::from_str(body).unwrap();
            seen.push(value["eventType"].as_str().unwrap().to_owned());
        }
        for (ty, _) in TYPES {
            assert!(
                seen.iter().any(|seen| seen == ty),
                "no event of type {ty} among the fixtures"
            );
        }
    }

    #[test]
    fn what_a_version_left_out_costs_no_event() {
        check(r#"{"eventType":"deployment_info"}"#, None, NOW);
        check(
            r#"{"eventType":"status_update_event","appId":7,"timestamp":"soon"}"#,
            None,
            NOW,
        );
        check(r#"{"eventType":"app_terminated_event","appId":"a\nb"}"#, None, NOW);
        check(
            r#"{"eventType":"api_post_event","uri":"/v2/apps/a"}"#,
            Some("/v2/apps/a"),
            NOW,
        );
        check(
            &format!(r#"{{"eventType":"of_tomorrow","appId":"/a","id":"x","timestamp":"{THEN}"}}"#),
            Some("/a"),
            THEN,
        );
    }

    #[test]
    fn known_types_are_marathons_own() {
        assert!(is_known("deployment_info") && !is_known("of_tomorrow") && !is_known(""));
    }
}
