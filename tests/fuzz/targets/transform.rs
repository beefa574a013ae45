//! Any text as a transform's value and template, on any JSON: read or refused, applied or refused, never a panic, never
//! more than the bound; and what was read comes out as JSON that reads as an equal one.
//!
//! The input is three lines: the value, the template, and the event's data.

#![no_main]

use busway::event::{Data, DataKind, Draft};
use busway::transform::{Transform, Transformed};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or("{}");
    let (value, template, data) = (next(), next(), next());
    let draft = Draft {
        id: "1".into(),
        source: "/fuzz".into(),
        ty: "t".into(),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: Bytes::copy_from_slice(data.as_bytes()),
        }),
        ..Draft::default()
    };
    let Ok(event) = draft.check() else { return };
    for json in [
        serde_json::json!({"form": "JSONPATH", "value": value}),
        serde_json::json!({"form": "TEMPLATE", "value": value, "template": template}),
        serde_json::json!({"form": "TEMPLATE", "value": value, "template": template, "escape": true}),
    ] {
        let Ok(transform) = Transform::parse(&json) else {
            continue;
        };
        assert!(Transform::parse(&transform.to_json()).is_ok_and(|again| again == transform));
        if let Ok(Transformed::Text(made)) = transform.apply(&event) {
            assert!(made.len() <= 4 << 20);
        }
    }
});
