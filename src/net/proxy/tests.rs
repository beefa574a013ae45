//! Proxies read, chosen, and asked for tunnels.

use tokio::net::TcpListener;

use super::*;
use crate::tasks::Tasks;

/// A URL and credentials, or what the refusal says.
type Read = Result<(&'static str, Option<(&'static str, &'static str)>), &'static str>;

#[test]
fn a_proxy_is_an_http_url_and_nothing_more() {
    let check = |text: &str, expected: Read| match (Proxy::parse(text), expected) {
        (Ok(proxy), Ok((url, credentials))) => {
            assert_eq!(
                (proxy.url().as_str(), proxy.credentials()),
                (url, credentials),
                "{text}"
            );
            assert!(
                !format!("{proxy:?} {proxy} {}", proxy.shown()).contains("s3cret"),
                "{text}"
            );
        }
        (Err(why), Err(says)) => assert!(why.contains(says), "{text}: {why}"),
        (found, _) => panic!("{text}: {found:?}"),
    };
    check("http://proxy:3128", Ok(("http://proxy:3128", None)));
    check("http://proxy", Ok(("http://proxy:80", None)));
    check("http://[::1]:3128/", Ok(("http://[::1]:3128", None)));
    check(
        "http://u%40x:s3cret%3A@proxy:3128",
        Ok(("http://proxy:3128", Some(("u@x", "s3cret:")))),
    );
    check("http://a%3Ab:s3cret@proxy", Err("Basic cannot carry"));
    check("http://a:b%0Ac@proxy", Err("Basic cannot carry"));
    for wrong in [
        "proxy:3128",
        "https://proxy",
        "socks5://proxy",
        "http://",
        "http://p/x",
        "http://p/?a",
        "http://p/#a",
    ] {
        check(wrong, Err("must be the URL of an http proxy"));
    }
}

#[test]
fn exceptions_are_names_suffixes_and_ranges() {
    let check = |exception: &str, host: &str, covered: bool| {
        let read = Exception::parse(exception).unwrap();
        assert_eq!(read.covers(host), covered, "{exception} {host}");
        assert_eq!(Exception::parse(&read.to_string()).unwrap(), read);
    };
    check("*", "anything.example", true);
    check("example.com", "example.com", true);
    check("example.com", "EXAMPLE.com.", true);
    check("example.com", "a.example.com", true);
    check("example.com", "notexample.com", false);
    check(".example.com", "example.com", false);
    check(".example.com", "a.b.example.com", true);
    check("*.example.com", "a.example.com", true);
    check("10.0.0.0/8", "10.1.2.3", true);
    check("10.0.0.0/8", "11.1.2.3", false);
    check("10.0.0.0/8", "ten.example", false);
    check("::1", "[::1]", true);
    check("127.0.0.1", "127.0.0.1", true);
    check("localhost", "localhost", true);
    for wrong in ["", ".", "a b", "example.com:80", "http://a", "10.0.0.0/99", "a.*.b"] {
        assert!(Exception::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_default_proxy_is_left_out_where_it_is_excepted() {
    let settings = ProxySettings {
        proxy: Some(Proxy::parse("http://proxy:3128").unwrap()),
        except: vec![Exception::parse("corp.example").unwrap()],
    };
    assert!(settings.by("a.corp.example").is_none());
    assert_eq!(settings.by("elsewhere.example"), settings.proxy.as_ref());
    assert!(ProxySettings::default().by("elsewhere.example").is_none());
}

/// A proxy that says this to whoever asks; what it was asked.
async fn answering(answer: &'static str) -> (Proxy, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::parse(&format!("http://u:p@{}", listener.local_addr().unwrap())).unwrap();
    let asked = Tasks::new().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            socket.read_buf(&mut seen).await.unwrap();
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    (proxy, asked)
}

#[tokio::test]
async fn a_tunnel_is_asked_for_and_the_answer_is_held_against_the_protocol() {
    let check = async |answer: &'static str, says: Option<&str>| {
        let (proxy, asked) = answering(answer).await;
        let stream = TcpStream::connect(proxy.to_string()).await.unwrap();
        let tunnel = proxy.tunnel(stream, "sink.example", 443).await;
        assert_eq!(
            asked.await.unwrap(),
            "CONNECT sink.example:443 HTTP/1.1\r\nhost: sink.example:443\r\nproxy-authorization: Basic dTpw\r\n\r\n"
        );
        match (tunnel, says) {
            (Ok(_), None) => {}
            (Err(Error::Proxy(why)), Some(says)) => {
                assert!(why.contains(says) && why.contains(&proxy.to_string()), "{why}");
            }
            (found, _) => panic!("{answer}: {found:?}"),
        }
    };
    check("HTTP/1.1 200 Connection established\r\nvia: p\r\n\r\n", None).await;
    check("HTTP/1.0 200\r\n\r\n", None).await;
    check(
        "HTTP/1.1 407 No\r\n\r\n",
        Some("answered 407 to CONNECT (it does not take"),
    )
    .await;
    check(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 9\r\n\r\nno route.",
        Some("answered 502 to CONNECT"),
    )
    .await;
    check("HTTP/1.1 200 OK\r\n\r\nhello", Some("before the tunnel was used")).await;
    check("SSH-2.0-OpenSSH_9\r\n\r\n", Some("did not answer CONNECT in HTTP")).await;
    check("HTTP/1.1 200 OK\r\n", Some("no whole answer")).await;
    check("", Some("no whole answer")).await;
}
