//! The email notifier in the real program, against a real mail server: what arrives, and what an answer means.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Letter, MailServer, component, keep_compiled, lend_compiled, place};

/// A hub that may talk to this server, with a password for it.
async fn hub_for(folder: &Path, server: &MailServer) -> HubProcess {
    let grants = format!(
        "[plugins.email]\ngrants = {{ tcp = [\"localhost:{}\"], env = {{ PASSWORD = \"secret\" }} }}\n\
         limits = {{ instances = 1 }}\n",
        server.port
    );
    start(folder, &grants).await
}

/// A hub with this config and the plugin.
async fn start(folder: &Path, config: &str) -> HubProcess {
    place(folder, "email", &component("email"));
    std::fs::write(folder.join("busway.toml"), config).unwrap();
    lend_compiled(folder);
    let hub = HubProcess::start(folder).await;
    keep_compiled(folder);
    hub
}

/// A subscription to `type_*` events that mails them to `a@example.org`, with more settings laid over.
fn mailed(server: &MailServer, more: &Value) -> Value {
    let mut settings = json!({"host": "localhost", "port": server.port, "security": "none",
        "from": "Hub <hub@example.com>", "addresses": ["a@example.org"]});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    json!({"types": ["t"], "protocol": "email", "protocolsettings": settings,
        "config": {"schedule": ["20ms"], "max_attempts": 4}})
}

/// An event of type `t` with this id.
fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": "t", "subject": "/my-app",
        "data": {"n": 1, "reason": "no room for größer"}})
}

async fn subscribe(hub: &HubProcess, subscription: &Value) {
    hub.put("/v1/subscriptions/mail", subscription).await;
}

/// The reason of the first dead letter.
async fn dead(hub: &HubProcess) -> String {
    let is_there = |dead: &Value| dead["dead_letters"][0].is_object();
    let dead = hub
        .until("it is dead", "/v1/dead-letters?subscription=mail", is_there)
        .await;
    dead["dead_letters"][0]["reason"].as_str().unwrap().to_owned()
}

/// The attempts that the hub remembers, each by its number within its delivery, once everything is settled; newest
/// first.
async fn attempts(hub: &HubProcess) -> Vec<u64> {
    hub.until("it is settled", "/v1/subscriptions/mail", |one| {
        one["status"]["behind"] == 0 && one["status"]["retrying"] == 0
    })
    .await;
    let shown = hub.get("/v1/subscriptions/mail/deliveries").await;
    let number = |attempt: &Value| attempt["number"].as_u64().unwrap();
    let shown = shown["deliveries"].as_array().unwrap();
    shown.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_as_a_letter_to_each_address() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    let settings = json!({"addresses": ["a@example.org", "Bea <b@example.org>"], "reply_to": "ops@example.com"});
    subscribe(&hub, &mailed(&server, &settings)).await;
    hub.publish(&event("e1")).await;
    let letters = server.wait_for(2).await;
    let to: Vec<&Value> = letters.iter().map(|letter| letter.delivery("to")).collect();
    assert_eq!(to, [&json!(["a@example.org"]), &json!(["b@example.org"])]);
    let letter = &letters[1];
    assert_eq!(letter.delivery("from"), "hub@example.com");
    assert_eq!(letter.delivery("hello"), "example.com");
    let check = |name: &str, value: &str| assert_eq!(letter.header(name), value);
    check("From", "Hub <hub@example.com>");
    check("To", "Bea <b@example.org>");
    check("Reply-To", "ops@example.com");
    check("Subject", "t /my-app");
    check("ce-id", "e1");
    check("ce-source", "/test");
    check("X-Busway-Subscription", "mail");
    check("Content-Transfer-Encoding", "quoted-printable");
    assert!(
        letter
            .body()
            .starts_with("t /my-app\n\n  n:      1\n  reason: no room for gr=C3=B6=C3=9Fer\n")
    );
    assert_ne!(letter.header("Message-ID"), letters[0].header("Message-ID"));
    assert_eq!(server.connections(), 1, "one connection for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulps_form_is_the_data_as_indented_ascii_json() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    let settings = json!({"subject": "pulp notification", "body": "json", "together": true,
        "addresses": ["a@example.org", "b@example.org"]});
    subscribe(&hub, &mailed(&server, &settings)).await;
    hub.publish(&event("e1")).await;
    let letter = server.wait_for(1).await.remove(0);
    assert_eq!(letter.delivery("to"), &json!(["a@example.org", "b@example.org"]));
    assert_eq!(letter.header("To"), "a@example.org, b@example.org");
    assert_eq!(letter.header("Subject"), "pulp notification");
    assert_eq!(letter.header("Content-Type"), "text/plain; charset=\"us-ascii\"");
    assert_eq!(letter.header("Content-Transfer-Encoding"), "7bit");
    assert_eq!(
        letter.body(),
        "{\n  \"n\": 1,\n  \"reason\": \"no room for gr\\u00f6\\u00dfer\"\n}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_need_not_be_ascii_if_the_server_can() {
    let settings = json!({"addresses": ["Jürgen <jürgen@example.org>"]});
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    subscribe(&hub, &mailed(&server, &settings)).await;
    hub.publish(&event("e1")).await;
    let letter = server.wait_for(1).await.remove(0);
    assert_eq!(letter.delivery("to"), &json!(["jürgen@example.org"]));
    assert!(
        letter.header("To").ends_with("<jürgen@example.org>"),
        "{}",
        letter.header("To")
    );

    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&["--ascii"]).await);
    let hub = hub_for(folder.path(), &server).await;
    subscribe(&hub, &mailed(&server, &settings)).await;
    hub.publish(&event("e1")).await;
    let reason = dead(&hub).await;
    assert!(reason.contains("SMTPUTF8"), "{reason}");
    assert_eq!(attempts(&hub).await, [1]);
}

/// A login over an encrypted connection, by this way of encrypting and with these mechanisms of the server.
async fn logs_in(arguments: &[&str], security: &str) {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(arguments).await);
    let hub = hub_for(folder.path(), &server).await;
    let settings = json!({"security": security, "ca": server.ca, "username": "hub"});
    subscribe(&hub, &mailed(&server, &settings)).await;
    hub.publish(&event("e1")).await;
    hub.publish(&event("e2")).await;
    for letter in server.wait_for(2).await {
        assert_eq!(
            (letter.delivery("tls"), letter.delivery("login")),
            (&json!(true), &json!("hub"))
        );
    }
    assert_eq!(server.connections(), 1);
    assert!(
        !hub.log().iter().any(|line| line.contains("secret")),
        "{:#?}",
        hub.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_and_plain() {
    logs_in(&["--security", "starttls", "--login", "hub:secret"], "starttls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opportunistic_and_login() {
    logs_in(
        &["--security", "starttls", "--login", "hub:secret", "--no-plain"],
        "opportunistic",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_from_the_first_byte() {
    logs_in(&["--security", "tls", "--login", "hub:secret"], "tls").await;
}

/// What keeps letters from going out at all is retried, in these words, and ends in the dead letters.
async fn fails(arguments: &[&str], settings: impl Fn(&MailServer) -> Value, says: &str) {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(arguments).await);
    let hub = hub_for(folder.path(), &server).await;
    subscribe(&hub, &mailed(&server, &settings(&server))).await;
    hub.publish(&event("e1")).await;
    let reason = dead(&hub).await;
    assert!(reason.contains(says), "{reason}");
    assert_eq!(attempts(&hub).await, [4, 3, 2, 1]);
    assert_eq!(server.letters().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_nobody_known_is_refused() {
    let stranger = MailServer::start(&[]).await;
    let wrong = |_: &MailServer| json!({"security": "tls", "ca": stranger.ca});
    fails(&["--security", "tls"], wrong, "UnknownIssuer").await;
    fails(
        &["--security", "starttls"],
        |_| json!({"security": "starttls"}),
        "UnknownIssuer",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_must_mend_is_retried() {
    let wrong =
        |server: &MailServer| json!({"security": "starttls", "ca": server.ca, "username": "hub", "password": "x"});
    let locked = ["--security", "starttls", "--login", "hub:secret"];
    fails(&locked, wrong, "login: 535 5.7.8 bad credentials").await;
    fails(
        &[],
        |server| json!({"security": "starttls", "ca": server.ca}),
        "STARTTLS",
    )
    .await;
    let silent = |_: &MailServer| json!({"timeout": 0.2});
    fails(&["--silent"], silent, "did not answer in time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_now_is_tried_again_and_never_is_not() {
    let (folder, mut server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    subscribe(&hub, &mailed(&server, &json!({}))).await;
    server.refuse("RCPT", &["450 4.2.1 greylisted"]).await;
    server.refuse("DATA", &["451 4.3.0 busy"]).await;
    server.refuse("MAIL", &["421 4.3.2 closing"]).await;
    hub.publish(&event("e1")).await;
    let letters = server.wait_for(1).await;
    assert_eq!(attempts(&hub).await, [4, 3, 2, 1]);
    let id = letters[0].header("Message-ID");
    assert!(id.starts_with("<msg_mail_") && id.ends_with("@example.com>"), "{id}");

    server.refuse("RCPT", &["550 5.1.1 no such user"]).await;
    hub.publish(&event("e2")).await;
    assert_eq!(dead(&hub).await, "a@example.org: 550 5.1.1 no such user");
    assert_eq!(attempts(&hub).await, [1, 4, 3, 2, 1]);
    hub.publish(&event("e3")).await;
    assert_eq!(server.wait_for(2).await[1].header("ce-id"), "e3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_writes_only_to_those_who_lack_it() {
    for together in [false, true] {
        let (folder, mut server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
        let hub = hub_for(folder.path(), &server).await;
        let settings = json!({"together": together, "addresses": ["a@example.org", "b@example.org", "c@example.org"]});
        subscribe(&hub, &mailed(&server, &settings)).await;
        server.refuse("RCPT b@example.org", &["450 later", "450 later"]).await;
        server
            .refuse("RCPT c@example.org", &["550 never", "550 never", "550 never"])
            .await;
        hub.publish(&event("e1")).await;
        let reason = dead(&hub).await;
        let expected = "c@example.org: 550 never (accepted for 2 of the addresses)";
        assert!(reason.starts_with(expected), "{reason}");
        let to = |letter: Letter| letter.delivery("to").clone();
        let to: Vec<Value> = server.letters().into_iter().map(to).collect();
        assert_eq!(
            to,
            [json!(["a@example.org"]), json!(["b@example.org"])],
            "together: {together}"
        );
        assert_eq!(attempts(&hub).await, [3, 2, 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_and_its_end_costs_no_attempt() {
    let (folder, mut server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    subscribe(&hub, &mailed(&server, &json!({}))).await;
    hub.publish_many("t", 0..20, 0).await;
    server.wait_for(20).await;
    assert_eq!(server.connections(), 1);
    // The server hangs up while nothing goes on.
    server.tell(json!({"hang_up": true})).await;
    hub.publish_many("t", 20..21, 0).await;
    server.wait_for(21).await;
    assert_eq!(server.connections(), 2);
    let numbers = attempts(&hub).await;
    assert!(numbers.iter().all(|&number| number == 1), "{numbers:?}");

    // It goes away altogether, and another comes in its place.
    let port = server.port.to_string();
    drop(server);
    hub.publish_many("t", 21..22, 0).await;
    let told = |page: &Value| page["deliveries"].to_string().contains("refused");
    hub.until("it is told", "/v1/subscriptions/mail/deliveries", told).await;
    let reason = dead(&hub).await;
    assert!(reason.contains(&format!("localhost:{port}")), "{reason}");
    let server = MailServer::start(&["--port", &port]).await;
    hub.post("/v1/dead-letters/redeliver", &json!({"subscription": "mail"}))
        .await;
    assert_eq!(server.wait_for(1).await[0].header("ce-id"), "t-21");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_not_dialled() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    let elsewhere = MailServer::start(&[]).await;
    subscribe(&hub, &mailed(&elsewhere, &json!({}))).await;
    hub.publish(&event("e1")).await;
    let reason = dead(&hub).await;
    assert!(reason.contains("grant"), "{reason}");
    let line = format!(
        "tcp = [\\\"localhost:{}\\\", \\\"localhost:{}\\\"]",
        server.port, elsewhere.port
    );
    hub.said(&line).await;
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_what_is_the_same_for_all() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let port = server.port;
    let config = format!(
        "[plugins.email]\nconfig = {{ host = \"127.0.0.1\", port = {port}, security = \"none\", from = \"hub@example.com\" }}\n\
         grants = {{ tcp = [\"127.0.0.1:{port}\"] }}\n"
    );
    let hub = start(folder.path(), &config).await;
    let short = json!({"types": ["t"], "protocol": "email", "sink": "mailto:a@example.org,b@example.org"});
    subscribe(&hub, &short).await;
    hub.publish(&event("e1")).await;
    let letters = server.wait_for(2).await;
    assert_eq!(letters[1].header("To"), "b@example.org");
    assert_eq!(letters[1].header("From"), "hub@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_config_is_refused_by_the_field() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    let check = async |more: Value, field: &str| {
        let subscription = mailed(&server, &more).to_string();
        let (status, body) = hub.send(Method::PUT, "/v1/subscriptions/mail", &[], subscription).await;
        let text = String::from_utf8_lossy(&body);
        assert!(status == 400 && text.contains(field), "{more}: {status} {text}");
    };
    check(json!({"addresses": []}), "addresses").await;
    check(json!({"from": "nobody"}), "from").await;
    check(json!({"port": "smtp"}), "port").await;
    check(json!({"security": "ssl"}), "security").await;
    check(json!({"ca": "-----BEGIN CERTIFICATE-----"}), "ca").await;
    check(json!({"subject": "{"}), "subject").await;
    check(json!({"subjct": "x"}), "subjct").await;
    check(json!({"host": "smtp.example.com", "username": "hub"}), "in the clear").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_cannot_write_the_letter() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_for(folder.path(), &server).await;
    let settings = json!({"subject": "{/title} {subject}", "template": "{/text}"});
    subscribe(&hub, &mailed(&server, &settings)).await;
    let mut hostile = event("e1");
    hostile["data"] = json!({
        "title": "hello\r\nBcc: victim@example.org\r\n\r\nanother body",
        "text": "one\r\n.\r\nMAIL FROM:<x@example.org>\r\nRCPT TO:<victim@example.org>\r\n..two\n.\n",
    });
    hostile["subject"] = json!("x".repeat(3000));
    hub.publish(&hostile).await;
    hub.publish(&event("e2")).await;
    let letters = server.wait_for(2).await;
    let letter = &letters[0];
    assert_eq!(letter.delivery("to"), &json!(["a@example.org"]));
    assert!(letter.headers("Bcc").is_empty());
    assert!(
        letter
            .header("Subject")
            .starts_with("hello Bcc: victim@example.org another body xxx")
    );
    assert!(letter.header("Subject").len() < 300);
    let expected = "one\n.\nMAIL FROM:<x@example.org>\nRCPT TO:<victim@example.org>\n..two\n.\n";
    assert_eq!(letter.body(), expected);
    assert_eq!(letters[1].header("ce-id"), "e2");
    assert_eq!(attempts(&hub).await, [1, 1]);
}
