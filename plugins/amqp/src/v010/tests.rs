//! The recorded bytes, and what a broker's words mean.

use super::*;
use crate::publication::Seen;
use crate::script::Script;
use crate::session::Session as _;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn writes_what_was_recorded() {
    let check = |assembly: &Assembly, recorded: &str| {
        assert_eq!(segment::frames(assembly, FRAME_MAX), hex(recorded), "{recorded}");
    };
    let declare = "0f01001d 0001000000000000 0701 0101 0300 0470756c70 05746f706963";
    check(&command::declare(&Short::known("pulp"), false), declare);
    let completed = "0f00001a 0000000000000000 020a 0100 0008 00000000 00000001";
    check(&command::completed(2), completed);
    check(&command::completed(0), "0f000010 0000000000000000 020a 0000");
    check(
        &command::known_completed(&[(0, 1)]),
        "0f00001a 0000000000000000 020b 0100 0008 00000000 00000001",
    );
}

#[test]
fn reads_what_was_recorded() {
    let check = |recorded: &str, signal: Signal, sync: bool| {
        let mut inbox = Inbox::default();
        let mut script = Script::default();
        script.arrive(&hex(recorded));
        let segment = loop {
            if let Some(segment) = Segment::take(&mut inbox).unwrap() {
                break segment;
            }
            inbox.wait(&mut script).unwrap();
        };
        assert_eq!(command::read(&segment), Ok((signal, sync)), "{recorded}");
    };
    let not_found = "0f01001e 0001000000000000 0302 0100 0300 00000000 00000004 0701 0400";
    check(not_found, Signal::QueryResult { not_found: true }, false);
    let found = "0f010024 0001000000000000 0302 0101 0300 00000000 0000000a 0701 0300 05746f706963";
    check(found, Signal::QueryResult { not_found: false }, true);
    let completed = |timely_reply| Signal::Completed {
        ranges: vec![(0, 1), (3, 3)],
        timely_reply,
    };
    let ranges = "0010 00000000 00000001 00000003 00000003";
    check(
        &format!("0f000022 0000000000000000 020a 0100 {ranges}"),
        completed(false),
        false,
    );
    check(
        &format!("0f000022 0000000000000000 020a 0300 {ranges}"),
        completed(true),
        false,
    );
    // In two frames.
    check(
        "0e00000e 0000000000000000 0105 0d00000e 0000000000000000 0000",
        Signal::Tune {
            channel_max: u16::MAX,
            frame_max: u16::MAX,
        },
        false,
    );
    let close = Close {
        code: 320,
        text: "bye".to_owned(),
    };
    check(
        "0f000016 0000000000000000 010b 0300 0140 03627965",
        Signal::Close(close),
        false,
    );
    let exception = Close {
        code: 404,
        text: "no".to_owned(),
    };
    let recorded = "0f01001c 0001000000000000 0303 0100 2300 0194 00000001 0002 6e6f";
    check(recorded, Signal::Exception(exception), false);
    check("0f000010 0000000000000000 010a 0000", Signal::Unknown, false);
}

#[test]
fn a_long_segment_is_cut_and_put_together() {
    let assembly = vec![
        (segment::Kind::Command, vec![3, 3, 0, 0, 0]),
        (segment::Kind::Body, vec![7; 30]),
    ];
    let bytes = segment::frames(&assembly, 24);
    let heads: Vec<(u8, u8, u8)> = [0, 17, 41, 65]
        .map(|at| (bytes[at], bytes[at + 1], bytes[at + 3]))
        .into();
    assert_eq!(heads, [(0x0b, 1, 17), (0x06, 3, 24), (0x04, 3, 24), (0x05, 3, 18)]);
    assert_eq!(
        segment::frames(&vec![(segment::Kind::Body, Vec::new())], 24),
        hex("0f03000c 0001000000000000")
    );
}

const CONFIG: &str = r#"{"url": "amqp://u:p@h/v", "protocol": "0-10", "exchange": "", "body": "pulp"}"#;

/// A session that is let in: without an exchange to find, its first command is the transfer.
fn session() -> Session<Script> {
    let mut script = Script::default();
    let start = "0f000029 0000000000000000 0101 0600 0000000c 95 00000001 0005 504c41494e 00000005 95 00000000";
    script.then(HEADER, [HEADER.to_vec(), hex(start)].concat());
    script.then(
        *b"\x05PLAIN\0\0\0\x04\0u\0p\x05en_US",
        hex("0f000018 0000000000000000 0105 0f00 0064 0100 0000 0000"),
    );
    script.then(hex("0107 0100 0176"), hex("0f000010 0000000000000000 0108 0000"));
    let settings = Settings::parse(CONFIG, |_| None).unwrap();
    let mut session = Session {
        wire: script,
        inbox: Inbox::default(),
        exchange: settings.exchange.clone(),
        persistent: true,
        frame_max: FRAME_MAX,
        next: 0,
        received: 0,
    };
    session.greet().unwrap();
    session.log_in(&settings).unwrap();
    assert_eq!(session.frame_max, 256);
    session
}

#[test]
fn what_the_broker_says_decides() {
    let publication = || {
        let seen = Seen {
            attributes: vec![("type".to_owned(), "t".to_owned())],
            data: b"1".to_vec(),
        };
        let settings = Settings::parse(CONFIG, |_| None).unwrap();
        Publication::of(seen, &settings, "d-1", "a.b".to_owned()).unwrap()
    };
    let check = |arrived: &str, answer: &str, expected: Result<Outcome, Error>| {
        let mut session = session();
        session.wire.arrive(&hex(arrived));
        session.wire.then(*b"null}", hex(answer));
        assert_eq!(
            session.publish(&publication(), crate::wire::now()),
            expected,
            "{answer}"
        );
    };
    let completed = "0f00001a 0000000000000000 020a 0100 0008 00000000 00000000";
    let earlier = "0f000012 0000000000000000 020a 0100 0000";
    let close = "0f000016 0000000000000000 010b 0300 0140 03627965";
    let exception = |code: &str| format!("0f01001c 0001000000000000 0303 0100 2300 {code} 00000000 0002 6e6f");
    check("", completed, Ok(Outcome::Confirmed));
    check("", &format!("{earlier} {completed}"), Ok(Outcome::Confirmed));
    check("0f000010 0000000000000000 010a 0000", completed, Ok(Outcome::Confirmed));
    check(
        "",
        &exception("0194"),
        Err(Error::Stale("the broker refused it: 404 no".to_owned())),
    );
    check(
        "",
        &exception("0193"),
        Err(Error::Broker("the broker refused it: 403 no".to_owned())),
    );
    check(
        "",
        close,
        Err(Error::Broker("a command: the broker refused: 320 bye".to_owned())),
    );
    check(
        "",
        "",
        Err(Error::Broker(
            "waiting for the broker: no answer in time (timeout_ms)".to_owned(),
        )),
    );
    check(close, completed, Err(Error::Stale("320 bye".to_owned())));
    check(
        "0f000010 0000000000000000 0204 0000",
        completed,
        Err(Error::Stale("the broker ended the session".to_owned())),
    );
}
