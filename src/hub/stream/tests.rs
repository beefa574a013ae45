//! Streams: handed or read by themselves, each event comes once, in order, to whoever wants it.

use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;

use super::{EventStream, Item, Wish};
use crate::filter::{Selector, TypePattern};
use crate::hub::Hub;
use crate::hub::tests::{event, open};
use crate::log::BusName;
use crate::subscription::Start;
use crate::tasks::Tasks;

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

/// A reader as real ones are: it stalls, gives up waiting, goes, and comes back as another.
struct Reader {
    hub: Hub,
    /// Draws what it does next.
    chance: u64,
    /// The last offset that is of interest, once it is known.
    last: watch::Receiver<Option<u64>>,
}

/// What a stream was asked for, from where on, and what it brought.
type Seen = (&'static str, u64, Vec<u64>);

impl Reader {
    fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.chance >> 33) % below
    }

    /// Reads one stream after the other; the last one to the end.
    async fn read(mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let ty = ["t0.*", "t1.*", "t2.x", "*"][usize::try_from(self.draw(4)).unwrap()];
            let start = match self.draw(3) {
                0 => Start::Earliest,
                _ => Start::Latest,
            };
            let mut stream = stream(&self.hub, start, ty).await;
            let from = stream.next.0;
            let (offsets, ended) = self.follow(&mut stream).await;
            seen.push((ty, from, offsets));
            if ended {
                return seen;
            }
        }
    }

    /// Reads until the end, or until it has had enough; whether it was the end.
    async fn follow(&mut self, stream: &mut EventStream) -> (Vec<u64>, bool) {
        let (mut offsets, patience) = (Vec::new(), 1 + self.draw(200));
        let (stays, stalls) = (self.draw(4) == 0, self.draw(3) == 0);
        loop {
            let last = *self.last.borrow_and_update();
            match last {
                Some(last) if offsets.last().is_some_and(|offset| *offset > last) => return (offsets, true),
                None if !stays && offsets.len() as u64 > patience => return (offsets, false),
                _ => {}
            }
            match self.draw(12) {
                // Given up at once: nothing may be lost by it.
                0 => {
                    if let Poll::Ready(item) = futures_util::poll!(std::pin::pin!(stream.next())) {
                        offsets.push(offset(item.unwrap().unwrap()));
                    }
                }
                1 => offsets.extend(std::iter::from_fn(|| stream.ready()).map(offset)),
                2 if stalls && last.is_none() => {
                    let mut end = stream.end.clone();
                    let far = end.borrow().0 + patience;
                    tokio::select! {
                        _ = end.wait_for(|end| end.0 > far) => {}
                        _ = self.last.changed() => {}
                    }
                }
                _ => tokio::select! {
                    item = stream.next() => offsets.push(offset(item.unwrap().unwrap())),
                    _ = self.last.changed() => {}
                },
            }
        }
    }
}

fn offset(item: Item) -> u64 {
    match item {
        Item::Record(record) => record.offset.0,
        Item::Gap(gap) => panic!("{gap:?}"),
    }
}

/// The types of all events, in order.
async fn all_types(hub: &Hub) -> Vec<String> {
    let mut all = stream(hub, Start::Earliest, "*").await;
    let end = all.end.borrow().0;
    let mut types = Vec::new();
    while types.len() as u64 + 1 < end {
        let Some(Ok(Item::Record(record))) = all.next().await else {
            panic!("the log is not whole");
        };
        types.push(record.event.ty().to_owned());
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_goes_or_stalls_gets_what_they_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path()).await;
    let (told, last) = watch::channel(None);
    let tasks = Tasks::new();
    let readers = (0..32).map(|n| {
        let (hub, last) = (hub.clone(), last.clone());
        tasks.spawn(Reader { hub, chance: n, last }.read())
    });
    let readers: Vec<_> = readers.collect();
    let publishers = (0..3u64).map(|n| publish(&hub, n * 10_000..n * 10_000 + 2_000));
    futures_util::future::join_all(publishers).await;
    let end = hub.end_of(&BusName::default_bus()).unwrap().0;
    told.send(Some(end - 1)).unwrap();
    let more = async {
        for n in 100_000.. {
            publish(&hub, n * 3..n * 3 + 3).await;
        }
    };
    let seen = tokio::select! {
        seen = futures_util::future::join_all(readers) => seen,
        () = more => unreachable!(),
    };
    let types = all_types(&hub).await;
    let seen: Vec<Seen> = seen.into_iter().flat_map(Result::unwrap).collect();
    assert!(seen.len() > 60, "only {} streams", seen.len());
    for (ty, from, offsets) in seen {
        let pattern = TypePattern::parse(ty).unwrap();
        let to = offsets.last().copied().unwrap_or(0);
        let wanted = (1..).zip(&types).filter(|(_, of)| pattern.matches(of));
        let wanted: Vec<u64> = wanted
            .map(|(offset, _)| offset)
            .filter(|offset| (from..=to).contains(offset))
            .collect();
        assert_eq!(offsets, wanted, "{ty} from {from}");
    }
}
