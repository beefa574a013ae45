//! The client against a sink in the same process: raw sockets where the bytes matter.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream as Tcp};

use super::*;
use crate::net::GuardSettings;

const SECONDS: Duration = Duration::from_secs(10);

fn client() -> Client {
    Client::new(Guard::new(GuardSettings::default()))
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"hello")).unwrap()
}

/// Reads one request with a body of five bytes; `None` at the end of the connection.
async fn one_request(socket: &mut Tcp) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        if socket.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(seen).unwrap())
}

/// A sink that answers every request on every connection with what `answer` says; the count of connections.
async fn sink(answer: &'static [u8], requests_a_connection: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    crate::tasks::Tasks::new().spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            for _ in 0..requests_a_connection {
                if one_request(&mut socket).await.is_none() {
                    break;
                }
                socket.write_all(answer).await.unwrap();
            }
        }
    });
    (url, connections)
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let (url, connections) = sink(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", usize::MAX).await;
    let client = client();
    for _ in 0..50 {
        let answer = client.send(post(&url), SECONDS, 10).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(client.pool.idle(), 1);
}

#[tokio::test]
async fn a_connection_the_sink_closed_is_replaced() {
    let (url, connections) = sink(b"HTTP/1.1 204 No Content\r\n\r\n", 1).await;
    let client = client();
    for _ in 0..5 {
        // The close may be seen before or after the request is queued: a request that was sent is never sent
        // again, so an honest error is allowed, a second copy is not.
        match client.send(post(&url), SECONDS, 10).await {
            Ok(answer) => assert_eq!(answer.status.as_u16(), 204),
            Err(error) => assert!(matches!(error, Error::Broken(_)), "{error}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn the_request_on_the_wire_is_in_origin_form() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = crate::tasks::Tasks::new().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = one_request(&mut socket).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        request
    });
    let answer = client()
        .send(post(&format!("http://{address}")), SECONDS, 10)
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 302, "a redirect is an answer like any other");
    let request = seen.await.unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    assert!(request.contains("content-length: 5\r\n"), "{request}");
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_limit_and_drained_up_to_a_bound() {
    let long: &'static [u8] = Box::leak(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n{}", "x".repeat(20_000))
            .into_bytes()
            .into(),
    );
    let (url, connections) = sink(long, usize::MAX).await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.send(post(&url), SECONDS, 100).await.unwrap().body.len(), 100);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "drained, and used again");
    let endless: &'static [u8] = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{}",
            "x".repeat(200_000)
        )
        .into_bytes()
        .into(),
    );
    let (url, _) = sink(endless, usize::MAX).await;
    let answer = client.send(post(&url), SECONDS, 100).await.unwrap();
    assert_eq!(answer.body.len(), 100, "the rest never comes and is not waited for");
    assert_eq!(client.pool.idle(), 1, "and that connection is not kept");
}

#[tokio::test]
async fn what_gets_no_answer_says_why() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (hung, refused) = (silent.local_addr().unwrap(), closed.local_addr().unwrap());
    drop(closed);
    let (garbage, _) = sink(b"SSH-2.0-OpenSSH_9\r\n\r\n", 1).await;
    let cases = [
        (format!("http://{hung}/"), "no answer in time"),
        (format!("http://{refused}/"), "no connection"),
        (format!("https://{refused}/"), "no connection"),
        (garbage, "the connection broke"),
        ("http://169.254.169.254/latest".to_owned(), "may not be dialled"),
        ("http://[::ffff:a9fe:a9fe]/latest".to_owned(), "may not be dialled"),
        ("http://user:secret@127.0.0.1/".to_owned(), "may not carry a user name"),
        ("ftp://127.0.0.1/".to_owned(), "must begin with http://"),
        ("http://127.0.0.1:99999/".to_owned(), "port"),
        ("http://does-not-exist.invalid/".to_owned(), "does not resolve"),
    ];
    for (url, want) in cases {
        let Ok(request) = Request::post(&url).body(Bytes::from_static(b"hello")) else {
            assert_eq!(want, "port", "{url} is no URL at all");
            continue;
        };
        let error = client()
            .send(request, Duration::from_millis(300), 10)
            .await
            .unwrap_err()
            .to_string();
        let slow_resolver = want == "does not resolve" && error == "no answer in time";
        assert!(error.contains(want) || slow_resolver, "{url}: {error}");
    }
}

#[tokio::test]
async fn ipv6_literals_are_dialled() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return;
    };
    let address = listener.local_addr().unwrap();
    crate::tasks::Tasks::new().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        one_request(&mut socket).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
    });
    let answer = client()
        .send(post(&format!("http://{address}/")), SECONDS, 10)
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 200);
}

/// A request by a proxy, at which this is answered; what came of it, and what the proxy saw.
async fn by_proxy(url: &str, answer: &'static [u8]) -> (Result<Answer, Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = crate::net::Proxy::parse(&format!("http://u:p@{}", listener.local_addr().unwrap())).unwrap();
    let seen = crate::tasks::Tasks::new().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"hello") && !seen.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut seen).await.unwrap() == 0 {
                break;
            }
        }
        socket.write_all(answer).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    let mut request = post(url);
    request
        .headers_mut()
        .insert("proxy-authorization", "theirs".parse().unwrap());
    request.extensions_mut().insert(Route::By(proxy));
    let answer = client().send(request, SECONDS, 10).await;
    let seen = match &answer {
        // Refused before anything was dialled: nobody will come.
        Err(Error::Blocked(_)) if !seen.is_finished() => String::new(),
        _ => seen.await.unwrap(),
    };
    (answer, seen)
}

#[tokio::test]
async fn a_plain_request_goes_to_the_proxy_whole() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (answer, seen) = by_proxy("http://sink.example/hook?a=b", ok).await;
    assert_eq!(answer.unwrap().status, 200);
    assert!(
        seen.starts_with("POST http://sink.example/hook?a=b HTTP/1.1\r\n"),
        "{seen}"
    );
    assert!(seen.contains("host: sink.example\r\n"), "{seen}");
    assert!(
        seen.contains("proxy-authorization: Basic dTpw\r\n") && !seen.contains("theirs"),
        "{seen}"
    );
    let (answer, _) = by_proxy("http://sink.example/", b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await;
    assert!(
        matches!(answer, Err(Error::Proxy(why)) if why.contains("answered 407 (it does not take its credentials)"))
    );
    let (answer, _) = by_proxy("http://sink.example/", b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(answer.unwrap().status, 502, "whose it is cannot be told");
}

#[tokio::test]
async fn a_proxy_is_no_way_around_the_guard() {
    for url in [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "https://[::ffff:a9fe:a9fe]/",
        "http://2852039166/latest",
        "http://0xa9fea9fe/latest",
        "http://169.254.169.254./latest",
    ] {
        let (answer, seen) = by_proxy(url, b"").await;
        assert!(matches!(answer, Err(Error::Blocked(_))), "{url}: {answer:?}");
        assert_eq!(seen, "", "{url}: the proxy is not even dialled");
    }
}

#[tokio::test]
async fn the_proxy_itself_is_dialled_through_the_guard() {
    let mut request = post("http://sink.example/");
    let proxy = crate::net::Proxy::parse("http://169.254.169.254:3128").unwrap();
    request.extensions_mut().insert(Route::By(proxy));
    let error = client().send(request, SECONDS, 10).await.unwrap_err();
    assert!(
        matches!(&error, Error::Proxy(why) if why.contains("169.254.169.254:3128") && why.contains("may not be dialled")),
        "{error}"
    );
}
