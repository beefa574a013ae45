//! The rules as tables: which range is closed, which rule wins, and what a host really is.

use super::*;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    Yes,
    No,
    OnlyIfPrivateIs,
}
use Says::*;

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn strict() -> GuardSettings {
    GuardSettings {
        deny_private: true,
        ..GuardSettings::default()
    }
}

fn passes(settings: &GuardSettings, ip: &str) -> bool {
    let address = SocketAddr::new(ip.parse().unwrap(), 80);
    Guard::new(settings.clone()).check(address).is_ok()
}

#[test]
fn every_range_has_its_rule() {
    let table = [
        (
            Yes,
            "93.184.216.34 172.32.0.1 100.128.0.1 2606:2800:220:1::1 64:ff9b::5db8:d822 ::ffff:93.184.216.34",
        ),
        (
            Yes,
            "128.0.0.1 126.255.255.255 192.0.1.1 198.20.0.1 223.255.255.255 2002:5db8:d822::1",
        ),
        (
            No,
            "169.254.0.1 169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192",
        ),
        (
            No,
            "0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.255 255.255.255.255 :: fe80::1 febf::1 ff02::1",
        ),
        (No, "fd00:ec2::254 fd00:ec2::23 fd20:ce::254"),
        (No, "::ffff:169.254.169.254 ::169.254.169.254 ::ffff:0:169.254.169.254"),
        (
            No,
            "64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe:: 64:ff9b:1::a9:fea9:fe00:0",
        ),
        (
            No,
            "2002:a9fe:a9fe::1 2001:0:a9fe:a9fe::1 2001:0:5db8:d822::5601:5601 2606::5efe:a9fe:a9fe 2606::200:5efe:a9fe:a9fe",
        ),
        (
            OnlyIfPrivateIs,
            "127.0.0.1 127.255.0.9 ::1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1",
        ),
        (OnlyIfPrivateIs, "100.64.0.1 100.127.255.255 fc00::1 fd12::1 fec0::1"),
        (
            OnlyIfPrivateIs,
            "::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1",
        ),
        (OnlyIfPrivateIs, "2002:7f00:1::1 2002:a00:1::1 2606::5efe:7f00:1"),
        (
            OnlyIfPrivateIs,
            "192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 240.0.0.1 2001:db8::1 100::1 3fff::1",
        ),
    ];
    for (says, addresses) in table {
        for ip in addresses.split(' ') {
            assert_eq!(passes(&GuardSettings::default(), ip), says != No, "{ip} by default");
            assert_eq!(passes(&strict(), ip), says == Yes, "{ip} with deny_private");
        }
    }
}

/// A guard's rules, and what becomes of a name, an address and a port under them.
struct Row {
    deny: &'static [&'static str],
    allow: &'static [&'static str],
    cases: &'static [(&'static str, &'static str, &'static str)],
}

const OK: &str = "";

/// `name address:port`, then what is said with neither switch, and with `deny_private` and `allow_only`.
const TRUTH: &[Row] = &[
    Row {
        deny: &[],
        allow: &[],
        cases: &[
            ("- 93.184.216.34:80", OK, "allow_only"),
            ("a.example 10.0.0.1:80", OK, "deny_private"),
            ("- 169.254.169.254:80", "never dialled", "never dialled"),
            ("metadata.google.internal 93.184.216.34:80", OK, "allow_only"),
        ],
    },
    Row {
        // Ranges: the narrower wins, whichever list it is in.
        deny: &["10.0.0.0/8", "93.184.216.34"],
        allow: &["10.1.0.0/16", "93.184.0.0/16"],
        cases: &[
            ("- 10.1.2.3:80", OK, OK),
            ("- 10.2.2.3:80", "\"10.0.0.0/8\"", "\"10.0.0.0/8\""),
            ("a.example 10.2.2.3:80", "\"10.0.0.0/8\"", "\"10.0.0.0/8\""),
            ("- 93.184.1.1:80", OK, OK),
            ("- 93.184.216.34:80", "\"93.184.216.34\"", "\"93.184.216.34\""),
            ("- [::ffff:10.1.2.3]:80", OK, OK),
            ("- [::ffff:10.2.2.3]:80", "\"10.0.0.0/8\"", "\"10.0.0.0/8\""),
            ("- 8.8.8.8:80", OK, "allow_only"),
        ],
    },
    Row {
        // The same in both lists: deny.
        deny: &["10.0.0.0/8", "a.example"],
        allow: &["10.0.0.0/8", "a.example"],
        cases: &[
            ("- 10.1.2.3:80", "\"10.0.0.0/8\"", "\"10.0.0.0/8\""),
            ("a.example 93.184.1.1:80", "\"a.example\"", "\"a.example\""),
        ],
    },
    Row {
        // Ports: a rule without one is no part of a rule with one.
        deny: &["*:25", "10.0.0.0/8:22"],
        allow: &["10.0.0.0/8", "mail.example:25", "10.0.0.9:22"],
        cases: &[
            ("- 10.0.0.1:80", OK, OK),
            ("- 10.0.0.1:25", "\"*:25\"", "\"*:25\""),
            ("- 10.0.0.1:22", "\"10.0.0.0/8:22\"", "\"10.0.0.0/8:22\""),
            ("- 10.0.0.9:22", OK, OK),
            ("mail.example 93.184.1.1:25", OK, OK),
            ("mail.example 93.184.1.1:26", OK, "allow_only"),
            ("other.example 93.184.1.1:25", "\"*:25\"", "\"*:25\""),
            ("- 93.184.1.1:22", OK, "allow_only"),
        ],
    },
    Row {
        // Names: the narrower wins; a name never excepts from a range, nor a range from a name.
        deny: &["*.example", "10.9.0.0/16", "b.test"],
        allow: &["good.example", "in.test", "10.9.0.1", "10.8.0.0/16"],
        cases: &[
            ("good.example 93.184.1.1:80", OK, OK),
            ("bad.example 93.184.1.1:80", "\"*.example\"", "\"*.example\""),
            ("example 93.184.1.1:80", OK, "allow_only"),
            ("bad.example 10.8.0.1:80", "\"*.example\"", "\"*.example\""),
            ("in.test 10.0.0.1:80", OK, OK),
            ("in.test 10.9.0.2:80", "\"10.9.0.0/16\"", "\"10.9.0.0/16\""),
            ("in.test 10.9.0.1:80", OK, OK),
            ("b.test 10.9.0.1:80", "\"b.test\"", "\"b.test\""),
            ("in.test 169.254.169.254:80", "never dialled", "never dialled"),
            ("in.test [::ffff:169.254.169.254]:80", "never dialled", "never dialled"),
        ],
    },
    Row {
        // What is closed opens for what lies within, and for nothing wider.
        deny: &[],
        allow: &["0.0.0.0/0", "::/0", "169.254.169.254:80", "127.0.0.1", "*"],
        cases: &[
            ("- 169.254.169.254:80", OK, OK),
            ("- 169.254.169.254:81", "never dialled", "never dialled"),
            ("- 169.254.0.1:80", "never dialled", "never dialled"),
            ("- 100.100.100.200:80", "never dialled", "never dialled"),
            ("- [fd00:ec2::254]:80", "never dialled", "never dialled"),
            ("- 127.0.0.1:80", OK, OK),
            ("- [::ffff:127.0.0.1]:80", OK, OK),
            ("- 127.0.0.2:80", OK, "deny_private"),
            ("a.example 10.0.0.1:80", OK, "deny_private"),
            ("- 93.184.1.1:80", OK, OK),
        ],
    },
];

#[test]
fn which_rule_wins() {
    for row in TRUTH {
        let open = GuardSettings {
            allow: rules(row.allow),
            deny: rules(row.deny),
            ..GuardSettings::default()
        };
        let closed = GuardSettings {
            deny_private: true,
            allow_only: true,
            ..open.clone()
        };
        for (wanted, by_default, strictly) in row.cases {
            let (name, address) = wanted.split_once(' ').unwrap();
            let names = if name == "-" { Vec::new() } else { vec![name.to_owned()] };
            let address = address.parse().unwrap();
            for (settings, says) in [(&open, by_default), (&closed, strictly)] {
                match Guard::new(settings.clone()).check_led(&names, address) {
                    Ok(()) => assert_eq!(*says, OK, "{wanted} under {:?} {:?}", row.deny, row.allow),
                    Err(blocked) => {
                        let told = blocked.to_string();
                        assert!(*says != OK && told.contains(says), "{wanted}: {told}, not {says}");
                        assert_eq!(blocked.looked_up, name != "-");
                    }
                }
            }
        }
    }
}

/// A guard with rules for names beside the strict ones for addresses.
fn picky() -> Guard {
    Guard::new(GuardSettings {
        deny: rules(&["*.blocked.example", "bücher.example:443", "93.184.216.34"]),
        ..strict()
    })
}

fn refused(host: &str, says: &str) {
    let told = picky().admit(host, 443).map_err(|blocked| blocked.to_string());
    assert!(told.as_ref().is_err_and(|told| told.contains(says)), "{host}: {told:?}");
}

#[test]
fn no_disguise_hides_an_address() {
    for loopback in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "017700000001",
        "127.0.0.1.",
        "[::1]",
        "::1",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "１２７.0.0.1",
        "%31%32%37.0.0.1",
    ] {
        refused(loopback, "loopback");
    }
    for metadata in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "0",
        "0.0.0.0",
        "[::]",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "ｍetadata.google.internal",
    ] {
        refused(metadata, "never");
    }
}

#[test]
fn a_host_is_judged_as_what_it_is() {
    let guard = picky();
    for (host, says) in [
        ("a.blocked.example", "*.blocked.example"),
        ("A.B.BLOCKED.example.", "*.blocked.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example:443"),
        ("BÜCHER.example", "xn--bcher-kva.example:443"),
        ("1572395042", "93.184.216.34"),
    ] {
        refused(host, says);
    }
    for admitted in [
        "blocked.example",
        "notblocked.example",
        "localhost",
        "example.com",
        "my_service",
        "93.184.216.35",
    ] {
        assert_eq!(guard.admit(admitted, 443), Ok(()), "{admitted}");
    }
    assert_eq!(guard.admit("bücher.example", 80), Ok(()), "another port");
}

#[test]
fn by_a_proxy_a_name_is_judged_as_far_as_it_tells() {
    let guard = Guard::new(GuardSettings {
        deny: rules(&["*.blocked.example", "*:25"]),
        ..strict()
    });
    for (host, port) in [
        ("localhost", 80),
        ("a.LOCALHOST.", 80),
        ("0x7f.1", 80),
        ("metadata.google.internal", 80),
        ("a.blocked.example", 80),
        ("public.example", 25),
    ] {
        let refused = guard.allows_through_proxy(host, port);
        assert!(refused.is_err(), "{host}");
    }
    assert!(guard.allows_through_proxy("public.example", 80).is_ok());
}

#[tokio::test]
async fn what_is_refused_by_name_is_never_looked_up() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    let settings = GuardSettings {
        deny: rules(&["*.bad.example", "*:25"]),
        allow: rules(&["*.example", "10.0.0.5:2500"]),
        allow_only: true,
        resolver: Resolver::asking(move |name| {
            seen.lock().unwrap().push(name.to_owned());
            Ok(vec!["10.0.0.5".parse().unwrap()])
        }),
        ..GuardSettings::default()
    };
    let guard = Guard::new(settings);
    for (host, port, says) in [
        ("a.bad.example", 80, "*.bad.example"),
        ("A.bad.example.", 80, "*.bad.example"),
        ("ok.example", 25, "*:25"),
        ("elsewhere.test", 80, "allow_only"),
        ("metadata.goog", 2500, "never looked up"),
    ] {
        let refused = guard.resolve(host, port).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Blocked(blocked) if !blocked.looked_up),
            "{host}: {refused}"
        );
        assert!(refused.to_string().contains(says), "{host}: {refused}");
    }
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(
        guard.resolve("ok.example", 80).await.unwrap(),
        ["10.0.0.5:80".parse().unwrap()]
    );
    // Where it leads may be allowed although its name is not.
    assert!(guard.resolve("elsewhere.test", 2500).await.is_ok());
    assert_eq!(*asked.lock().unwrap(), ["ok.example", "elsewhere.test"]);
}

#[tokio::test]
async fn addresses_are_judged_after_the_look_up() {
    let resolver = Resolver::asking(|name| {
        let found = match name {
            "mixed.example" => vec!["169.254.169.254", "127.0.0.1", "93.184.216.34", "::ffff:10.0.0.1"],
            "metadata.example" => vec!["169.254.169.254", "fd00:ec2::254"],
            "absolute.example." => vec!["93.184.216.34"],
            "nothing.example" => vec![],
            other => panic!("nobody should ask for {other}"),
        };
        Ok(found.into_iter().map(|ip| ip.parse().unwrap()).collect())
    });
    let guard = Guard::new(GuardSettings { resolver, ..strict() });
    let check = async |host: &str, expected: Result<&[&str], &str>| match (guard.resolve(host, 80).await, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected),
        (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{host}: {error}"),
        (found, _) => panic!("{host}: {found:?}"),
    };
    check("mixed.example", Ok(&["93.184.216.34:80"])).await;
    check(
        "metadata.example",
        Err("the address 169.254.169.254 (of metadata.example) may not be dialled"),
    )
    .await;
    check("absolute.example.", Ok(&["93.184.216.34:80"])).await;
    check("nothing.example", Err("has no address")).await;
    check(
        "localhost",
        Err("loopback addresses are refused by `egress.deny_private`"),
    )
    .await;
    check("any.LOCALHOST.", Err("loopback")).await;
    check("127.0.0.1", Err("loopback")).await;
    check("0x7f.1", Err("loopback")).await;
    check("[fe80::1%25eth0]", Err("is no host name")).await;
    check("a b", Err("is no host name")).await;
}
