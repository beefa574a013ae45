//! Look-ups that fail, never end, or change their mind. What blocks here waits for the test, not for a clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));

/// Nothing is measured by it: only what the tests wait for comes sooner.
const BRISK: Pace = Pace {
    long: Duration::from_millis(50),
    patience: Duration::from_secs(1),
    fresh: Duration::from_millis(1),
    stale: Duration::from_millis(1),
};

/// Until nothing is under way, and no answer is kept.
async fn forgotten(resolver: &Resolver, name: &str) {
    while resolver.0.lock().answers.contains_key(name) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A resolver that answers `A`; a name with `dead` in it is answered once the sender is gone.
fn with_dead_names() -> (Resolver, Arc<AtomicUsize>, mpsc::Sender<()>) {
    let (gate, closed) = mpsc::channel::<()>();
    let (closed, asked) = (Mutex::new(closed), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    let ask = move |name: &str| {
        count.fetch_add(1, Ordering::SeqCst);
        if name.contains("dead") {
            let _ = closed.lock().unwrap_or_else(PoisonError::into_inner).recv();
            return Err(io::Error::other("Temporary failure in name resolution"));
        }
        Ok(vec![A])
    };
    (Resolver::paced(ask, BRISK), asked, gate)
}

async fn check(resolver: &Resolver, name: &str, expected: Result<IpAddr, &str>) {
    match (resolver.look_up(name).await, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(*found, [expected], "{name}"),
        (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{name}: {error}, not {says}"),
        (found, _) => panic!("{name}: {found:?}"),
    }
}

#[tokio::test]
async fn a_failure_says_whether_the_name_or_its_servers_are_at_fault() {
    let resolver = Resolver::asking(|name| {
        Err(io::Error::other(match name {
            "gone.example" => "failed to lookup address information: Name or service not known",
            "down.example" => "failed to lookup address information: Temporary failure in name resolution",
            "bare.example" => "failed to lookup address information: No address associated with hostname",
            _ => "the cat has eaten it",
        }))
    });
    check(&resolver, "gone.example", Err("there is no such name (NXDOMAIN)")).await;
    check(
        &resolver,
        "down.example",
        Err("the name servers could not tell (SERVFAIL"),
    )
    .await;
    check(&resolver, "bare.example", Err("the name has no address")).await;
    check(&resolver, "odd.example", Err("odd.example: the cat")).await;
}

#[tokio::test]
async fn many_who_need_one_name_ask_once() {
    let (resolver, asked, gate) = with_dead_names();
    let all = futures_util::future::join_all((0..100).map(|_| resolver.look_up("dead.example")));
    let open = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        drop(gate);
    };
    let (answers, ()) = tokio::join!(all, open);
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    check(&resolver, "alive.example", Ok(A)).await;
}

#[tokio::test]
async fn dead_names_do_not_hold_up_the_living() {
    let (resolver, _, gate) = with_dead_names();
    check(&resolver, "alive.example", Ok(A)).await;
    forgotten(&resolver, "alive.example").await;
    let names: Vec<String> = (0..200).map(|n| format!("dead-{n}.example")).collect();
    let dead = futures_util::future::join_all(names.iter().map(|name| resolver.look_up(name)));
    // All of them wait when the living is asked for: they are polled first.
    let (answers, ()) = tokio::join!(dead, check(&resolver, "alive.example", Ok(A)));
    for answer in answers {
        let why = answer.unwrap_err().to_string();
        assert!(why.contains("the name servers did not answer within 1s"), "{why}");
    }
    let known: Vec<_> = resolver.0.lock().standings.values().copied().collect();
    let slow = known.iter().filter(|one| **one == Standing::Slow).count();
    assert_eq!(slow, 24, "no more were asked for at once: {known:?}");
    // The names that nobody answered for are slow now, and wait among themselves: strangers are served.
    drop(gate);
    check(&resolver, "stranger.example", Ok(A)).await;
}

#[tokio::test]
async fn an_answer_is_kept_for_moments_only() {
    let flapping = |pace| {
        let asked = AtomicUsize::new(0);
        let ask = move |_: &str| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![A]),
            1 => Err(io::Error::other("Try again")),
            _ => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        };
        Resolver::paced(ask, pace)
    };
    let hour = Duration::from_secs(3_600);
    let keeping = flapping(Pace { fresh: hour, ..BRISK });
    for _ in 0..10 {
        check(&keeping, "flaps.example", Ok(A)).await;
    }
    let forgetting = flapping(BRISK);
    for expected in [Ok(A), Err("could not tell"), Ok(Ipv4Addr::LOCALHOST.into())] {
        check(&forgetting, "flaps.example", expected).await;
        forgotten(&forgetting, "flaps.example").await;
    }
    assert!(forgetting.0.lock().answers.is_empty());
}
