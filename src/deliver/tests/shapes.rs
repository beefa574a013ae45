//! What a transform makes of a callback, and which statuses deliver it.

use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink};

#[tokio::test]
async fn a_transform_makes_the_body_in_every_form() {
    let template = json!({"form": "TEMPLATE", "value": "{\"n\":\"$.data.n\",\"ty\":\"$.type\"}", "template": "{\"text\":\"${ty} ${n}\"}"});
    let missing = json!({"form": "JSONPATH", "value": "$.data.missing"});
    let words = json!({"form": "CONSTANT", "value": "hello"});
    let json_type = Some("application/json");
    for (format, transform, media, body) in [
        ("structured", &template, json_type, "{\"text\":\"odd 1\"}"),
        ("binary", &template, json_type, "{\"text\":\"odd 1\"}"),
        ("raw", &template, json_type, "{\"text\":\"odd 1\"}"),
        ("structured", &words, Some("text/plain; charset=utf-8"), "hello"),
        ("binary", &words, Some("text/plain; charset=utf-8"), "hello"),
        ("structured", &missing, None, ""),
        ("raw", &json!({"form": "ORIGINAL"}), json_type, "{\"n\":1}"),
    ] {
        let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
        let settings = json!({"format": format});
        rig.subscribe(
            "s",
            json!({"sink": sink.url, "transform": transform, "protocolsettings": settings}),
            1,
        )
        .await;
        rig.publish([1]).await;
        let got = sink.next().await;
        let header = |name: &str| got.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (header("content-type"), got.body.as_ref()),
            (media, body.as_bytes()),
            "{format} {transform}"
        );
        assert_eq!(header("ce-id").is_some(), format == "binary", "{format}");
    }
}

#[tokio::test]
async fn only_the_named_statuses_deliver() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(202)).await);
    let config = json!({"schedule": ["5s"]});
    rig.subscribe(
        "s",
        json!({"sink": sink.url, "protocolsettings": {"success": [200]}, "config": config}),
        1,
    )
    .await;
    rig.publish([1]).await;
    sink.next().await;
    rig.until("s", "not delivered", |status| status.retrying == 1).await;
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(6));
    rig.until("s", "delivered", |status| status.delivered == 1).await;
}
