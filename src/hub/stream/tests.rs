//! Streams: handed or read by themselves, each event comes once, in order, to whoever wants it.

use std::sync::Arc;

use super::{EventStream, Item, Wish};
use crate::filter::{Selector, TypePattern};
use crate::hub::Hub;
use crate::hub::tests::{event, open};
use crate::log::BusName;
use crate::subscription::Start;

async fn stream(hub: &Hub, start: Start, ty: &str) -> EventStream {
    let wish = Wish {
        bus: BusName::default_bus(),
        start,
        selector: Selector {
            types: vec![TypePattern::parse(ty).unwrap()],
            ..Selector::default()
        },
    };
    hub.stream(wish).await.unwrap()
}

/// Publishes events of these numbers, one of three types each, five at a time.
async fn publish(hub: &Hub, numbers: std::ops::Range<u64>) {
    let events: Vec<_> = numbers
        .map(|n| event(&n.to_string(), &format!("t{}.x", n % 3)))
        .collect();
    for five in events.chunks(5) {
        hub.publish(&BusName::default_bus(), five.to_vec()).await.unwrap();
    }
}

async fn take(stream: &mut EventStream, count: usize) -> Vec<u64> {
    let mut offsets = Vec::with_capacity(count);
    while offsets.len() < count {
        match stream.next().await {
            Some(Ok(Item::Record(record))) => offsets.push(record.offset.0),
            other => panic!("{other:?}"),
        }
    }
    offsets
}

fn of_type(ty: u64, offsets: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    // The event of number n gets the offset n + 1.
    offsets.filter(|offset| (offset - 1) % 3 == ty).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_handed_what_they_want_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path()).await;
    let mut streams = Vec::new();
    for n in 0..60 {
        streams.push(stream(&hub, Start::Latest, &format!("t{}.*", n % 3)).await);
    }
    let publishing = publish(&hub, 0..300);
    let reading = async {
        let mut all = Vec::new();
        for stream in &mut streams {
            all.push(take(stream, 100).await);
        }
        all
    };
    let ((), all) = tokio::join!(publishing, reading);
    for (n, offsets) in (0..).zip(all) {
        assert_eq!(offsets, of_type(n % 3, 1..=300), "stream {n}");
    }
    drop(streams);
    assert!(hub.drain(std::time::Duration::from_secs(9)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_what_is_handed_out_reads_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path()).await;
    let (mut slow, mut quick) = (
        stream(&hub, Start::Latest, "t0.*").await,
        stream(&hub, Start::Latest, "t0.*").await,
    );
    publish(&hub, 0..10).await;
    assert_eq!(take(&mut slow, 4).await, of_type(0, 1..=10));
    // It has a seat once it is found waiting.
    assert!(futures_util::poll!(std::pin::pin!(slow.next())).is_pending());
    assert_eq!(take(&mut quick, 4).await, of_type(0, 1..=10));
    for part in 1..=9 {
        publish(&hub, part * 100..(part + 1) * 100).await;
        quick = taken(quick, 33).await;
    }
    let all = take(&mut slow, 300).await;
    let published: Vec<u64> = (100..1000).filter(|n| n % 3 == 0).map(|n| n - 100 + 11).collect();
    assert_eq!(all, published, "in order, each once, after it had lost its seat");
    assert!(futures_util::poll!(std::pin::pin!(slow.next())).is_pending());
    publish(&hub, 1002..1003).await;
    assert_eq!(take(&mut slow, 1).await, [911], "and it goes on");
}

async fn taken(mut stream: EventStream, count: usize) -> EventStream {
    take(&mut stream, count).await;
    stream
}

#[tokio::test]
async fn a_door_narrows_a_stream_by_a_test_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path()).await;
    publish(&hub, 0..20).await;
    let even = Arc::new(|record: &crate::log::Record| record.offset.0.is_multiple_of(2));
    let mut stream = stream(&hub, Start::Earliest, "*").await.only(even);
    let read: Vec<u64> = (1..=20).filter(|offset| offset % 2 == 0).collect();
    assert_eq!(take(&mut stream, 10).await, read, "from the log");
    publish(&hub, 20..24).await;
    assert_eq!(take(&mut stream, 2).await, [22, 24], "as it comes");
}
