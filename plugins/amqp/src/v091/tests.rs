//! Whole conversations, byte for byte, against a broker that is a script.

use super::*;
use crate::publication::Seen;
use crate::script::Script;
use crate::session::Session as _;

const CONFIG: &str = r#"{"url": "amqp://u:p@h/v", "exchange": "e", "mandatory": true}"#;

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A method as the broker sends it.
fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame::method(
        channel,
        &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat(),
    )
}

fn closing(class: u16, number: u16, code: u16, words: &str) -> Vec<u8> {
    let channel = u16::from(class != 10);
    method(
        channel,
        class,
        number,
        &[&code.to_be_bytes()[..], &text(words), &[0; 4]].concat(),
    )
}

fn start(mechanisms: &str) -> Vec<u8> {
    let mechanisms = [
        &[0, 0, 0, u8::try_from(mechanisms.len()).unwrap()],
        mechanisms.as_bytes(),
    ]
    .concat();
    method(
        0,
        10,
        10,
        &[&[0, 9, 0, 0, 0, 0][..], &mechanisms, b"\0\0\0\x05en_US"].concat(),
    )
}

/// A broker that lets us in, whose exchange is there or not.
fn broker(exchange_is_there: bool) -> Script {
    let mut script = Script::default();
    script.then(*b"AMQP\x00\x00\x09\x01", start("AMQPLAIN PLAIN"));
    // Its frames hold 4096 bytes, its heartbeats come each 60 s.
    script.then(
        *b"\x05PLAIN\0\0\0\x04\0u\0p\x05en_US\xce",
        method(0, 10, 30, &[7, 255, 0, 0, 16, 0, 0, 60]),
    );
    script.then(frame::method(0, b"\0\x0a\0\x28\x01v\0\0"), method(0, 10, 41, &[0]));
    script.then(frame::method(1, b"\0\x14\0\x0a\0"), method(1, 20, 11, &[0; 4]));
    let passive = frame::method(1, b"\0\x28\0\x0a\0\0\x01e\x05topic\x03\0\0\0\0");
    if exchange_is_there {
        script.then(passive, method(1, 40, 11, &[]));
    } else {
        script.then(passive, closing(20, 40, 404, "NOT_FOUND"));
        script.then(frame::method(1, b"\0\x14\0\x0a\0"), method(1, 20, 11, &[0; 4]));
        let durable = frame::method(1, b"\0\x28\0\x0a\0\0\x01e\x05topic\x02\0\0\0\0");
        script.then(durable, method(1, 40, 11, &[]));
    }
    script.then(frame::method(1, b"\0\x55\0\x0a\0"), method(1, 85, 11, &[]));
    script
}

fn settings() -> Settings {
    Settings::parse(CONFIG, |_| None).unwrap()
}

fn publication(body: &[u8]) -> Publication {
    let seen = Seen {
        attributes: vec![("time".to_owned(), "1970-01-01T00:00:07Z".to_owned())],
        data: body.to_vec(),
    };
    Publication::of(seen, &settings(), "d-1", "a.b".to_owned()).unwrap()
}

fn now() -> Instant {
    crate::wire::now()
}

fn ack(tag: u8) -> Vec<u8> {
    method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, tag, 0])
}

#[test]
fn an_event_is_four_frames_in_one_write() {
    for there in [true, false] {
        let mut session = Session::open(broker(there), &settings()).unwrap();
        session.wire.written.clear();
        session.wire.then(*b"12\xce", ack(1));
        assert_eq!(session.publish(&publication(b"12"), now()), Ok(Outcome::Confirmed));
        let headers = b"\0\0\0\x2a\x10cloudEvents_timeS\0\0\0\x141970-01-01T00:00:07Z";
        let publish = frame::method(1, b"\0\x3c\0\x28\0\0\x01e\x03a.b\x01");
        let properties = [
            b"\0\x3c\0\0\0\0\0\0\0\0\0\x02\xb0\xc0\x10application/json".as_slice(),
            headers,
            b"\x02\x03d-1\0\0\0\0\0\0\0\x07",
        ];
        let expected = [publish, frame::content(1, &properties.concat(), b"12", 4096)].concat();
        assert_eq!(session.wire.written, expected);
    }
}

#[test]
fn a_body_is_cut_to_the_brokers_frames() {
    let mut session = Session::open(broker(true), &settings()).unwrap();
    session.wire.written.clear();
    session.wire.then(*b"!\xce", ack(1));
    let body = [vec![b'x'; 5000], b"!".to_vec()].concat();
    assert_eq!(session.publish(&publication(&body), now()), Ok(Outcome::Confirmed));
    let written = &session.wire.written;
    let body_frames = [&b"\x03\0\x01\0\0\x0f\xf8x"[..], &b"\x03\0\x01\0\0\x03\x91x"[..]];
    for head in body_frames {
        assert!(written.windows(head.len()).any(|window| window == head), "{head:x?}");
    }
}

#[test]
fn what_the_broker_says_decides() {
    let check = |answer: Vec<u8>, expected: Result<Outcome, Error>| {
        let mut session = Session::open(broker(true), &settings()).unwrap();
        session.wire.then(*b"12\xce", answer);
        assert_eq!(session.publish(&publication(b"12"), now()), expected);
    };
    let refused = |words: &str| Ok(Outcome::Refused(words.to_owned()));
    let broker_error = |words: &str| Err(Error::Broker(words.to_owned()));
    check(ack(1), Ok(Outcome::Confirmed));
    check(
        [frame::method(0, b"\0\0\0\0"), vec![8, 0, 0, 0, 0, 0, 0, 0xce], ack(1)].concat(),
        Ok(Outcome::Confirmed),
    );
    check(
        method(1, 60, 120, &[0, 0, 0, 0, 0, 0, 0, 1, 0]),
        refused("the broker could not take it (nack)"),
    );
    let returned = [&[1, 56][..], &text("NO_ROUTE"), &text("e"), &text("a.b")].concat();
    let returned = [
        method(1, 60, 50, &returned),
        frame::content(1, &[0; 14], b"12", 4096),
        ack(1),
    ]
    .concat();
    check(returned, refused("no queue takes it (mandatory): 312 NO_ROUTE"));
    check(
        closing(20, 40, 404, "NOT_FOUND"),
        Err(Error::Stale("the broker refused it: 404 NOT_FOUND".to_owned())),
    );
    check(
        closing(20, 40, 403, "ACCESS_REFUSED"),
        broker_error("the broker refused it: 403 ACCESS_REFUSED"),
    );
    check(
        closing(20, 40, 406, "TOO_LARGE"),
        Err(Error::Event("the broker refused it: 406 TOO_LARGE".to_owned())),
    );
    check(
        closing(10, 50, 320, "CONNECTION_FORCED"),
        broker_error("publishing: the broker refused: 320 CONNECTION_FORCED"),
    );
    check(
        Vec::new(),
        broker_error("waiting for the broker: no answer in time (timeout_ms)"),
    );
    let blocked = method(0, 10, 60, &text("low on disk"));
    let words =
        "waiting for the broker: no answer in time (timeout_ms); the broker takes nothing at present: low on disk";
    check(blocked, broker_error(words));
    check(
        vec![1, 0, 1, 0xff, 0, 0, 0, 0],
        broker_error("the broker sent what was not expected: a frame of 4278190080 bytes"),
    );
    check(
        vec![1, 0, 1, 0, 0, 0, 0, 0],
        broker_error("the broker sent what was not expected: a frame without its end"),
    );
}

#[test]
fn what_came_between_two_calls_is_heard_first() {
    let check = |arrived: &[u8], ends: bool, expected: Result<Outcome, Error>| {
        let mut session = Session::open(broker(true), &settings()).unwrap();
        session.wire.arrive(arrived);
        session.wire.ends = ends;
        session.wire.then(*b"12\xce", ack(1));
        assert_eq!(session.publish(&publication(b"12"), now()), expected);
    };
    let stale = |words: &str| Err(Error::Stale(words.to_owned()));
    check(b"", true, stale("the broker had closed the connection"));
    check(
        &closing(10, 50, 320, "CONNECTION_FORCED"),
        false,
        stale("320 CONNECTION_FORCED"),
    );
    check(&closing(20, 40, 404, "NOT_FOUND"), false, stale("404 NOT_FOUND"));
    check(&[8, 0, 0, 0, 0, 0, 0, 0xce], false, Ok(Outcome::Confirmed));
    let blocked = method(0, 10, 60, &text("low on memory"));
    let refused = Ok(Outcome::Refused(
        "the broker takes nothing at present: low on memory".to_owned(),
    ));
    check(&blocked, false, refused);
    check(
        &[blocked, method(0, 10, 61, &[])].concat(),
        false,
        Ok(Outcome::Confirmed),
    );
}

#[test]
fn a_refused_login_says_why() {
    let check = |answers: &[Vec<u8>], says: &str| {
        let mut script = Script::default();
        let waits: [&[u8]; 3] = [b"\x09\x01", b"en_US\xce", b"\x01v\0\0\xce"];
        for (wait, answer) in waits.into_iter().zip(answers) {
            script.then(wait, answer.clone());
        }
        let Err(Error::Broker(reason)) = Session::open(script, &settings()) else {
            panic!("let in: {says}");
        };
        assert_eq!(reason, says);
    };
    check(
        &[b"AMQP\x01\x01\x00\x0a".to_vec()],
        "the broker does not speak AMQP 0-9-1; it offers 1-1-0-10 (see protocol)",
    );
    check(
        &[start("EXTERNAL")],
        "the broker takes no user and password (PLAIN), only EXTERNAL",
    );
    let denied = closing(10, 50, 403, "ACCESS_REFUSED");
    check(
        &[start("PLAIN"), denied],
        "the login: the broker refused: 403 ACCESS_REFUSED",
    );
    let tune = method(0, 10, 30, &[0; 8]);
    let vhost = closing(10, 50, 530, "NOT_ALLOWED");
    check(
        &[start("PLAIN"), tune, vhost],
        "opening the vhost: the broker refused: 530 NOT_ALLOWED",
    );
}
