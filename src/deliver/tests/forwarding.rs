//! Other buses: as a sink, and for what is given up.

use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink, event};
use crate::log::BusName;

fn other() -> BusName {
    BusName::parse("other").unwrap()
}

#[tokio::test]
async fn a_bus_as_a_sink_gets_each_event_once_over_a_crash() {
    let mut rig = Rig::new().await;
    rig.subscribe("s", json!({"protocol": "BUS", "sink": "other", "types": ["odd"]}), 1)
        .await;
    rig.publish(1..=9).await;
    rig.until("s", "done", |status| status.delivered == 5).await;
    // Nothing of it was written down: everything is forwarded once more, and is a duplicate there.
    rig = rig.crash().await;
    rig.until("s", "done again", |status| status.behind == 0 && status.retrying == 0)
        .await;
    let there = rig.records("other").await;
    assert_eq!(
        there.iter().map(|one| one.event.id().to_owned()).collect::<Vec<_>>(),
        ["1", "3", "5", "7", "9"]
    );
    assert_eq!(there[0].event.attribute("buswayhops").as_deref(), Some("1"));
    assert_eq!(there[0].event.data(), event(1).data(), "byte for byte");
}

#[tokio::test]
async fn a_circle_of_buses_ends() {
    let rig = Rig::new().await;
    let mut hopping = event(1).to_draft();
    hopping
        .extensions
        .push(("buswayhops".into(), crate::event::Value::Integer(8)));
    rig.parts
        .log
        .append(&super::rig::bus(), vec![hopping.check().unwrap()])
        .await
        .unwrap();
    rig.subscribe("s", json!({"protocol": "BUS", "sink": "other"}), 1).await;
    rig.until("s", "given up", |status| status.dead == 1).await;
    assert!(rig.dead().await[0].reason.contains("forwarded over 8 buses"));
    assert!(rig.records("other").await.is_empty());
}

#[tokio::test]
async fn what_a_transform_makes_is_another_event() {
    let rig = Rig::new().await;
    let of =
        |value: &str| json!({"protocol": "BUS", "sink": "other", "transform": {"form": "JSONPATH", "value": value}});
    rig.subscribe("a", of("$.data.n"), 1).await;
    rig.subscribe("b", of("plain words"), 1).await;
    rig.subscribe("c", of("$.data.missing"), 1).await;
    rig.publish([1]).await;
    for name in ["a", "b", "c"] {
        rig.until(name, "done", |status| status.delivered == 1).await;
    }
    let there = rig.records("other").await;
    let mut seen: Vec<_> = there
        .iter()
        .map(|one| {
            let data = one
                .event
                .data()
                .map(|data| String::from_utf8_lossy(&data.bytes).into_owned());
            (
                one.event.id().to_owned(),
                one.event.datacontenttype().map(str::to_owned),
                data,
            )
        })
        .collect();
    seen.sort();
    let of = |id: &str, media: Option<&str>, data: Option<&str>| {
        (id.to_owned(), media.map(str::to_owned), data.map(str::to_owned))
    };
    let expected = [
        of("1-a", Some("application/json"), Some("1")),
        of("1-b", Some("text/plain; charset=utf-8"), Some("plain words")),
        of("1-c", None, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_given_up_is_published_before_its_letter_is_written() {
    let (mut rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(500)).await);
    let config = json!({"schedule": ["5s"], "max_attempts": 2, "dead_letter": {"bus": "other"}});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish([1]).await;
    for failed in 1..=2 {
        assert_eq!(sink.numbers(1).await, [1]);
        rig.until("s", "counted", |status| status.failed == failed).await;
        rig.checkpoint().await;
        rig.parts.clock.advance(Duration::from_secs(6));
    }
    assert_eq!(rig.dead().await.len(), 1);
    let there = rig.records("other").await;
    assert_eq!(there.len(), 1);
    let of = |name: &str| there[0].event.attribute(name).map(|text| text.into_owned());
    for (name, value) in [
        ("id", "1-dead-s"),
        ("source", "/test"),
        ("type", "odd"),
        ("deadid", "1"),
        ("deadsubscription", "s"),
        ("deadbus", "default"),
        ("deadoffset", "1"),
        ("deadattempts", "2"),
        ("deadreason", "the sink answered 500 (attempt 2)"),
        ("deadtime", "2023-11-14T22:13:26.000Z"),
    ] {
        assert_eq!(of(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(there[0].event.data(), event(1).data());
    rig = rig.crash().await;
    rig.until("s", "at rest", |status| status.behind == 0 && status.retrying == 0)
        .await;
    assert_eq!((rig.dead().await.len(), rig.records("other").await.len()), (1, 1));
}

#[tokio::test]
async fn a_crash_before_the_letter_is_written_ends_in_one_letter_and_one_copy() {
    let (mut rig, sink) = (Rig::new().await, Sink::new(Reply::Status(500)).await);
    let config = json!({"max_attempts": 1, "dead_letter": {"bus": "other"}});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    // No checkpoint comes between: what it wrote down would not be given up a second time.
    let engine = rig.delivery.0.clone();
    let no_checkpoint = engine.written.lock().await;
    rig.publish([1, 2, 3]).await;
    rig.until("s", "given up", |status| status.dead == 3).await;
    // Published, and not written down: as if the end came between the two.
    let copies = rig.delivery.0.all()[0]
        .lock()
        .collect(crate::log::Offset(4))
        .unwrap()
        .changes;
    for change in copies.into_values() {
        let crate::deliver::lane::Change::Dead(buried) = change else {
            panic!("{change:?}")
        };
        let (bus, copy) = buried.copy.unwrap();
        assert_eq!(bus, other());
        crate::deliver::forward::publish_copies(&rig.delivery.0, &bus, vec![copy])
            .await
            .unwrap();
    }
    rig.fall();
    drop(no_checkpoint);
    rig = rig.crash().await;
    rig.until("s", "given up again", |status| status.dead == 3).await;
    assert_eq!((rig.dead().await.len(), rig.records("other").await.len()), (3, 3));
}
