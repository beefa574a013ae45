//! Plugins in every language: each example is built from source and run through a hub; each new project builds.
//!
//! JavaScript and Python bring an engine that takes half a minute to compile, so what is built and compiled is kept
//! between runs (`support/guests.rs`), and a hub is given as long as it takes to load them.

use std::path::Path;
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};

use crate::support::{
    HubProcess, Receiver, Request, built, busway, keep_compiled, lend_compiled, place, status, tools,
};

/// How long a hub may take to compile the largest guests on a busy machine. Nothing is measured by it.
const COMPILING: Duration = Duration::from_secs(900);

/// A hub with these examples loaded, the notifiers allowed to reach the receiver, none in a hurry.
async fn hub_with(folder: &Path, receiver: &Receiver, plugins: &[&str]) -> HubProcess {
    let origin = receiver.url("");
    // A busy machine is no fault of a plugin's: time is not what is tried here.
    let entry = |name: &&str| {
        let grants = match name.starts_with("notifier-") {
            true => format!("grants = {{ http = [\"{origin}\"] }}\n"),
            false => String::new(),
        };
        format!("[plugins.{name}]\nlimits = {{ timeout = \"30s\" }}\n{grants}")
    };
    let config: String = plugins.iter().map(entry).collect();
    std::fs::write(folder.join("busway.toml"), config).unwrap();
    lend_compiled(folder);
    let hub = HubProcess::start(folder).await;
    for name in plugins {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(name);
        let path = tokio::task::block_in_place(|| built(&source));
        place(folder, name, &std::fs::read(path).unwrap());
    }
    for name in plugins {
        loaded(&hub, name).await;
        describes_itself(&hub, name).await;
    }
    keep_compiled(folder);
    hub
}

/// Waits until the plugin is live.
async fn loaded(hub: &HubProcess, name: &str) {
    let asked = async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        loop {
            let (_, body) = hub
                .send(http::Method::GET, &format!("/v1/plugins/{name}"), &[], "")
                .await;
            let page: Value = serde_json::from_slice(&body).unwrap();
            assert_ne!(page["state"], "rejected", "{page}");
            if page["state"] == "active" {
                return;
            }
            pause.tick().await;
        }
    };
    let waited = tokio::time::timeout(COMPILING, asked).await;
    assert!(waited.is_ok(), "{name} was never loaded: {:#?}", hub.log());
}

/// The schema that it gives is the one in its folder, of which its README's table is made.
async fn describes_itself(hub: &HubProcess, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(name);
    let kept = std::fs::read(folder.join("config.schema.json")).ok();
    let schema = |text: Vec<u8>| {
        let mut schema: Value = serde_json::from_slice(&text).unwrap();
        schema.as_object_mut().unwrap().remove("$schema");
        schema
    };
    let mut given = hub.get(&format!("/v1/plugins/{name}")).await["config_schema"].clone();
    if let Some(given) = given.as_object_mut() {
        given.remove("$schema");
    }
    assert_eq!(given, kept.map_or(Value::Null, schema), "{name}");
}

/// Subscribes to orders through a filter, the sink being a path of its own.
async fn filter(hub: &HubProcess, receiver: &Receiver, plugin: &str, config: Value) {
    let body = json!({"types": ["order"], "sink": receiver.url(&format!("/{plugin}")),
        "protocolsettings": {"format": "raw"}, "filters": [{"plugin": {"name": plugin, "config": config}}]});
    hub.put(&format!("/v1/subscriptions/{plugin}"), &body).await;
}

/// Subscribes to orders by a notifier; what fails is tried once more, soon.
async fn notify(hub: &HubProcess, id: &str, plugin: &str, settings: Value) {
    let body = json!({"types": ["order"], "protocol": plugin, "protocolsettings": settings,
        "config": {"schedule": ["10ms"], "max_attempts": 2, "timeout": "30s"}});
    hub.put(&format!("/v1/subscriptions/{id}"), &body).await;
}

/// A config that its `init` refuses: the subscription is, in words that say this.
async fn refuses(hub: &HubProcess, body: Value, says: &str) {
    let (code, answer) = hub
        .send(http::Method::PUT, "/v1/subscriptions/refused", &[], body.to_string())
        .await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(code == 400 && answer.contains(says), "{code}: {answer}");
}

/// Publishes two orders, `o-1` of Ada and `o-2` of Bob, and waits until every one of these has settled both.
async fn publish(hub: &HubProcess, subscriptions: &[&str]) {
    for (id, name, total) in [("o-1", "Ada", 7), ("o-2", "Bob", -2)] {
        let event = json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "order", "subject": "größer",
            "data": {"user": {"name": name, "email": "a@b.example"}, "total": total}});
        hub.publish(&event).await;
    }
    for id in subscriptions {
        let path = format!("/v1/subscriptions/{id}");
        hub.until("it has settled everything", &path, |one| one["status"]["behind"] == 0)
            .await;
    }
}

/// The bodies that arrived at a path, sorted.
fn at(receiver: &Receiver, path: &str) -> Vec<String> {
    let seen = receiver.seen();
    let own = seen.iter().filter(|request| request.path == path);
    let mut bodies: Vec<String> = own
        .map(|request| String::from_utf8(request.body.to_vec()).unwrap())
        .collect();
    bodies.sort();
    bodies
}

fn names(bodies: &[String]) -> Vec<String> {
    let name = |body: &String| serde_json::from_str::<Value>(body).unwrap()["user"]["name"].clone();
    let mut names: Vec<String> = bodies
        .iter()
        .map(|body| name(body).as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// 503 to what is sent to `/busy`, 204 to the rest.
fn busy(request: &Request) -> Response {
    status(if request.path.starts_with("/busy") { 503 } else { 204 })
}

/// Why the two deliveries of a subscription were given up, once they are.
async fn given_up(hub: &HubProcess, id: &str) -> [String; 2] {
    let path = format!("/v1/dead-letters?subscription={id}");
    let both = |page: &Value| page["dead_letters"].as_array().is_some_and(|all| all.len() == 2);
    let page = hub.until("both are dead letters", &path, both).await;
    [0, 1].map(|nth| page["dead_letters"][nth]["reason"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_in_c_cpp_and_text_decide() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let plugins = ["filter-keyword-c", "filter-sample-cpp", "filter-subject-wat"];
    let hub = hub_with(folder.path(), &receiver, &plugins).await;
    filter(&hub, &receiver, "filter-keyword-c", json!({"keyword": "Ada"})).await;
    filter(&hub, &receiver, "filter-subject-wat", json!({})).await;
    filter(
        &hub,
        &receiver,
        "filter-sample-cpp",
        json!({"percent": 50, "key": "id"}),
    )
    .await;
    let wrong = json!({"types": ["order"], "sink": receiver.url("/"),
        "filters": [{"plugin": {"name": "filter-sample-cpp", "config": {"key": "id"}}}]});
    refuses(&hub, wrong, "percent").await;
    publish(&hub, &plugins).await;
    assert_eq!(names(&at(&receiver, "/filter-keyword-c")), ["Ada"]);
    assert_eq!(names(&at(&receiver, "/filter-subject-wat")), ["Ada", "Bob"]);
    let path = "/v1/subscriptions/filter-sample-cpp";
    hub.publish_many("order", 0..200, 0).await;
    let page = hub
        .until("all are judged", path, |one| one["status"]["behind"] == 0)
        .await;
    let kept = page["status"]["delivered"].as_u64().unwrap();
    assert!((70..130).contains(&kept), "{kept} of 202");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifiers_in_c_and_cpp_deliver() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(busy);
    let hub = hub_with(
        folder.path(),
        &receiver,
        &["notifier-influx-c", "notifier-telegram-cpp"],
    )
    .await;
    let url = receiver.url("/write?bucket=b");
    notify(
        &hub,
        "influx",
        "notifier-influx-c",
        json!({"url": url, "pointer": "/total"}),
    )
    .await;
    notify(&hub, "busy", "notifier-influx-c", json!({"url": receiver.url("/busy")})).await;
    notify(
        &hub,
        "denied",
        "notifier-influx-c",
        json!({"url": "http://127.0.0.2:9/"}),
    )
    .await;
    let chat = json!({"token": "1:x", "chat": "-7", "api": receiver.url(""), "pointer": "/user"});
    notify(&hub, "chat", "notifier-telegram-cpp", chat).await;
    let wrong = json!({"types": ["order"], "protocol": "notifier-telegram-cpp",
        "protocolsettings": {"token": "1:x", "chat": "-7", "api": "telegram.org"}});
    refuses(&hub, wrong, "api").await;
    publish(&hub, &["influx", "busy", "denied", "chat"]).await;
    let lines = [
        "events,type=order,source=/shop,subject=größer value=-2",
        "events,type=order,source=/shop,subject=größer value=7",
    ];
    assert_eq!(at(&receiver, "/write?bucket=b"), lines);
    let texts = at(&receiver, "/bot1:x/sendMessage");
    let first: Value = serde_json::from_str(&texts[0]).unwrap();
    let expected = "order\ngrößer\n{\"email\":\"a@b.example\",\"name\":\"Ada\"}";
    assert_eq!(first, json!({"chat_id": "-7", "text": expected}));
    assert!(given_up(&hub, "busy").await[0].contains("the sink answered 503"));
    assert_eq!((texts.len(), at(&receiver, "/busy").len()), (2, 4));
    assert!(given_up(&hub, "denied").await[0].contains("grants.http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_and_a_notifier_in_javascript_work() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(busy);
    let hub = hub_with(folder.path(), &receiver, &["filter-redact-js", "notifier-ntfy-js"]).await;
    filter(
        &hub,
        &receiver,
        "filter-redact-js",
        json!({"fields": ["/user/email", "/items/*/price"]}),
    )
    .await;
    let settings = json!({"url": receiver.url("/alerts"), "title": "{type} é", "text": "{/user/name} {/total}"});
    notify(&hub, "ntfy", "notifier-ntfy-js", settings).await;
    notify(&hub, "busy", "notifier-ntfy-js", json!({"url": receiver.url("/busy")})).await;
    notify(
        &hub,
        "denied",
        "notifier-ntfy-js",
        json!({"url": "http://127.0.0.2:9/"}),
    )
    .await;
    let wrong = json!({"types": ["order"], "sink": receiver.url("/"),
        "filters": [{"plugin": {"name": "filter-redact-js", "config": {}}}]});
    refuses(&hub, wrong, "fields").await;
    publish(&hub, &["filter-redact-js", "ntfy", "busy", "denied"]).await;
    let blanked = at(&receiver, "/filter-redact-js");
    let first: Value = serde_json::from_str(&blanked[0]).unwrap();
    assert_eq!(
        first,
        json!({"user": {"name": "Bob", "email": "[redacted]"}, "total": -2})
    );
    assert_eq!(at(&receiver, "/alerts"), ["Ada 7", "Bob -2"]);
    let seen = receiver.seen();
    let alert = seen.iter().find(|request| request.path == "/alerts").unwrap();
    assert_eq!(alert.headers["title"], "=?UTF-8?B?b3JkZXIgw6k=?=");
    assert!(given_up(&hub, "busy").await[0].contains("ntfy answered 503"));
    assert_eq!((blanked.len(), at(&receiver, "/busy").len()), (2, 4));
    assert!(given_up(&hub, "denied").await[0].contains("no answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_and_a_notifier_in_python_work() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(busy);
    let hub = hub_with(folder.path(), &receiver, &["filter-regex-py", "notifier-incident-py"]).await;
    filter(
        &hub,
        &receiver,
        "filter-regex-py",
        json!({"pattern": "^A.a$", "in": "/user/name"}),
    )
    .await;
    let settings = |path: &str| json!({"url": receiver.url(path), "routing_key": "k", "closes": ["closed"]});
    notify(&hub, "incident", "notifier-incident-py", settings("/enqueue")).await;
    notify(&hub, "busy", "notifier-incident-py", settings("/busy")).await;
    let elsewhere = json!({"url": "http://127.0.0.2:9/", "routing_key": "k"});
    notify(&hub, "denied", "notifier-incident-py", elsewhere).await;
    let wrong = json!({"types": ["order"], "sink": receiver.url("/"),
        "filters": [{"plugin": {"name": "filter-regex-py", "config": {"pattern": "("}}}]});
    refuses(&hub, wrong, "is no regular expression").await;
    publish(&hub, &["filter-regex-py", "incident", "busy", "denied"]).await;
    assert_eq!(names(&at(&receiver, "/filter-regex-py")), ["Ada"]);
    let incidents = at(&receiver, "/enqueue");
    let first: Value = serde_json::from_str(&incidents[0]).unwrap();
    assert_eq!(first["dedup_key"], "/shop größer");
    assert_eq!(first["event_action"], "trigger");
    assert_eq!(first["payload"]["custom_details"]["user"]["email"], "a@b.example");
    assert!(given_up(&hub, "busy").await[0].contains("the service answered 503"));
    assert_eq!((incidents.len(), at(&receiver, "/busy").len()), (2, 4));
    assert!(given_up(&hub, "denied").await[0].contains("grants.http"));
}

/// Runs the program in a folder, with the tools and the target folder of the tests.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = busway();
    command.env("BUSWAY_TOOLS", tools());
    command.env("CARGO_TARGET_DIR", tools().with_file_name("guests").join("new"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Makes a project of each kind in these languages.
fn projects(folder: &Path, languages: &[&str]) -> Vec<(String, &'static str)> {
    let mut made = Vec::new();
    for language in languages {
        for kind in ["filter", "notifier"] {
            let name = format!("{language}-{kind}");
            let (good, said) = run(folder, &["plugin", "new", &name, "--lang", language, "--kind", kind]);
            assert!(good, "{name}: {said}");
            made.push((name, kind));
        }
    }
    made
}

#[test]
fn a_new_project_builds_and_does_what_its_events_expect() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = projects(folder.path(), &["rust", "c", "cpp"]);
    let (good, said) = run(
        folder.path(),
        &["plugin", "new", "wat-filter", "--lang", "wat", "--kind", "filter"],
    );
    assert!(good, "{said}");
    made.push(("wat-filter".to_owned(), "filter"));
    for (name, kind) in made {
        let own = folder.path().join(&name);
        if name.starts_with("rust") {
            // The versions that are here already: no test asks a registry.
            std::fs::copy(
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"),
                own.join("Cargo.lock"),
            )
            .unwrap();
        }
        let grants: &[&str] = if kind == "notifier" { &["--as", &name] } else { &[] };
        let (good, said) = run(&own, &[&["plugin", "test", "."], grants].concat());
        assert!(good && said.contains("2 of 2 as expected"), "{name}: {said}");
    }
    let (good, said) = run(
        folder.path(),
        &["plugin", "new", "c-filter", "--lang", "c", "--kind", "filter"],
    );
    assert!(!good && said.contains("already there"), "{said}");
}

#[test]
fn a_new_project_with_an_engine_inside_builds() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in projects(folder.path(), &["javascript", "typescript", "python"]) {
        built(&folder.path().join(name));
    }
}

#[test]
fn what_a_toolchain_says_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &str, source: &str, says: &[&str]| {
        let own = folder.path().join(file.replace('.', "-"));
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join(file), source).unwrap();
        let (good, said) = run(folder.path(), &["plugin", "build", own.to_str().unwrap()]);
        assert!(!good, "{file}: {said}");
        says.iter()
            .for_each(|part| assert!(said.contains(part), "{file}: expected {part:?} in: {said}"));
        assert_eq!(
            std::fs::read_dir(&own).unwrap().count(),
            1,
            "{file} left something behind"
        );
    };
    check(
        "a.js",
        "export const filter = {\n  describe( {",
        &["a.js:2", "build_failed"],
    );
    check(
        "b.ts",
        "import './nowhere.js';\nexport const filter = {};",
        &["nowhere.js", "build_failed"],
    );
    check(
        "c.py",
        "import nowhere\n\nclass Filter:\n    pass\n",
        &["nowhere", "build_failed"],
    );
    check(
        "d.js",
        "const filter = {};",
        &["export const filter", "not_a_plugin_folder"],
    );
    check(
        "e.cpp",
        "#include \"filter_plugin.h\"\nint broken( {\n",
        &["e.cpp:2", "build_failed"],
    );
}

/// The `$` lines and the sources of `plugins/README.md`, as they stand there.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_plugins_readme_shows_works() {
    let readme = include_str!("../../plugins/README.md");
    let folder = tempfile::tempdir().unwrap();
    lend_compiled(folder.path());
    let hub = HubProcess::start(folder.path()).await;
    let (_, session) = readme.split_once("```console\n").unwrap();
    let lines = session.split("```").next().unwrap().lines();
    for line in lines.filter_map(|line| line.strip_prefix("$ busway ")) {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        let url = hub.url("");
        if line == "plugin list" {
            loaded(&hub, "mine").await;
            keep_compiled(folder.path());
            arguments.extend(["--url", &url]);
        }
        let (good, said) = tokio::task::block_in_place(|| run(folder.path(), &arguments));
        assert!(good, "{line}: {said}");
    }
    for (language, file) in [("js", "a.js"), ("python", "a.py"), ("c", "a.c")] {
        let (_, source) = readme.split_once(&format!("```{language}\n")).unwrap();
        let own = folder.path().join(format!("readme-{language}"));
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join(file), source.split("```").next().unwrap()).unwrap();
        tokio::task::block_in_place(|| built(&own));
    }
}
