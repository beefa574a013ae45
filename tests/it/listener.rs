//! `busway listener`: pulp-admin's words in, pulp-admin's outputs and exit codes out.

use std::path::Path;
use std::process::{Output, Stdio};

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, busway};

/// Runs `busway listener` with the words of this line against this place; its code, stdout and stderr.
fn run(folder: &Path, url: &str, line: &str) -> (i32, String, String) {
    let Output { status, stdout, stderr } = busway()
        .current_dir(folder)
        .env("HOME", folder)
        .env("BUSWAY_URL", url)
        .arg("listener")
        .args(words(line))
        .stdin(Stdio::null())
        .output()
        .expect("run busway");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Words of a shell line: blanks part them, double quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A command's code and output.
fn check(folder: &Path, hub: &HubProcess, line: &str, code: i32, shown: &str) {
    let (found, stdout, stderr) = run(folder, &hub.url(""), line);
    assert_eq!((found, stdout.as_str()), (code, shown), "{line}: {stderr}");
}

/// The listeners of the hub, each as its notifier type, config and event types.
async fn listeners(hub: &HubProcess) -> Vec<Value> {
    let all = hub.get("/pulp/api/v2/events/").await;
    let part = |one: &Value| json!([one["notifier_type_id"], one["notifier_config"], one["event_types"]]);
    all.as_array().unwrap().iter().map(part).collect()
}

const CREATED: &str = "Event listener successfully created\n\n";
const UPDATED: &str = "Event listener successfully updated\n\n";

/// What `list` shows of these four.
fn list_of(email: &str, http: &str, amqp: &str, bare: &str) -> String {
    format!(
        "Event Types:       repo.sync.start
Id:                {email}
Notifier Config:   
  Addresses: someone@redhat.com, another@redhat.com
  Subject:   pulp notification
Notifier Type Id:  email

Event Types:       repo.sync.start, repo.sync.finish
Id:                {http}
Notifier Config:   
  Password: ***
  URL:      http://a/
  Username: u
Notifier Type Id:  http

Event Types:       *
Id:                {amqp}
Notifier Config:   
  Exchange: pulp
Notifier Type Id:  amqp

Event Types:       *
Id:                {bare}
Notifier Config:   
Notifier Type Id:  amqp

"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_made_changed_listed_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let (folder, hub) = (home.path(), HubProcess::start(home.path()).await);
    let check = |line: &str, shown: &str| check(folder, &hub, line, 0, shown);
    check("list", "");
    check(
        "email create --event-type=repo.sync.start --subject=\"pulp notification\" --addresses=someone@redhat.com,another@redhat.com",
        CREATED,
    );
    check(
        "http create --event-type repo.sync.start --event-type=repo.sync.finish --url http://a/ --username u --password p",
        CREATED,
    );
    check("amqp create --event-type=* --exchange=pulp", CREATED);
    check("amqp create --event-type=*", CREATED);
    let mail = json!({"subject": "pulp notification", "addresses": ["someone@redhat.com", "another@redhat.com"]});
    let expected = [
        json!(["email", mail, ["repo.sync.start"]]),
        json!(["http", {"url": "http://a/", "username": "u", "password": "***"}, ["repo.sync.start", "repo.sync.finish"]]),
        json!(["amqp", {"exchange": "pulp"}, ["*"]]),
        json!(["amqp", {}, ["*"]]),
    ];
    assert_eq!(listeners(&hub).await, expected);
    let all = hub.get("/pulp/api/v2/events/").await;
    let id = |nth: usize| all[nth]["id"].as_str().unwrap();
    let [email, http, amqp, bare] = [0, 1, 2, 3].map(id);
    let shown = list_of(email, http, amqp, bare);
    check("list", &shown);
    check(
        &format!("email update --listener-id {email} --subject new --event-type=*"),
        UPDATED,
    );
    check(&format!("http update --listener-id={http} --url=https://b/"), UPDATED);
    check(
        &format!("amqp update --listener-id={amqp} --event-type repo.publish.start"),
        UPDATED,
    );
    check(&format!("amqp update --listener-id={bare}"), "No changes were made\n\n");
    check(
        &format!("delete --listener-id {bare}"),
        "Event listener successfully deleted\n\n",
    );
    let mail = json!({"subject": "new", "addresses": ["someone@redhat.com", "another@redhat.com"]});
    let expected = [
        json!(["email", mail, ["*"]]),
        json!(["http", {"url": "https://b/", "username": "u", "password": "***"}, ["repo.sync.start", "repo.sync.finish"]]),
        json!(["amqp", {"exchange": "pulp"}, ["repo.publish.start"]]),
    ];
    assert_eq!(listeners(&hub).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_pulp_admins() {
    let home = tempfile::tempdir().unwrap();
    let (folder, hub) = (home.path(), HubProcess::start(home.path()).await);
    let check = |line: &str, code: i32, shown: &str| check(folder, &hub, line, code, shown);
    let missing = "The following resource(s) could not be found:\n\n  5081a42ce19a00ea4300000e (event_listener)\n\n";
    check("delete --listener-id 5081a42ce19a00ea4300000e", 65, missing);
    check(
        "http update --listener-id 5081a42ce19a00ea4300000e --url http://a",
        65,
        missing,
    );
    check(
        "http create --event-type=repo.* --url=http://a",
        65,
        "Invalid properties: ['event_types']\n\n",
    );
    let delete = "Command: delete\nDescription: delete an event listener\n\nAvailable Arguments:\n\n  \
                  --listener-id - (required) id of the event listener\n";
    check("delete --help", 64, delete);
    check("delete --nope 1", 64, delete);
    let unsaid = "\nThe following options are required but were not specified:\n  --listener-id\n";
    check("delete", 64, &format!("{delete}{unsaid}"));
    let amqp = "Usage: busway listener amqp [SUB_SECTION, ..] COMMAND\nDescription: manage amqp listeners\n\n\
                Available Commands:\n  create - create a listener\n  update - update an event listener\n";
    check("amqp", 64, amqp);
    check("amqp list", 64, amqp);
    check("amqp --help", 64, amqp);
    let (code, _, said) = run(folder, &hub.url(""), "--nope list");
    assert!(code == 64 && said.contains("no such option: --nope"), "{code} {said}");
    let (code, _, said) = run(folder, &hub.url(""), "--config nowhere.conf list");
    assert!(code == 78 && said.contains("nowhere.conf"), "{code} {said}");
    // Nobody listens on port 9 of the loopback address: it is nobody's but root's to take.
    let (code, shown, _) = run(folder, "http://127.0.0.1:9", "list");
    assert!(
        code == 74 && shown.contains("The connection was refused"),
        "{code} {shown}"
    );
    // What the hub does not do is told beside, where no script of pulp-admin's users looks.
    let (code, shown, said) = run(folder, &hub.url(""), "amqp create --event-type=*");
    assert!(
        code == 0 && shown == CREATED && said.contains("messaging.url is not set"),
        "{code} {shown} {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_from_flags_and_files() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let auth = "[auth.admin]\nsecret = \"s3:cret\"\nscopes = [\"admin\"]\n[auth.pulp]\nsecret = \"p\"\nscopes = [\"publish\"]\n";
    std::fs::write(folder.join("busway.toml"), auth).unwrap();
    let hub = HubProcess::start(folder).await;
    let check = |line: &str, code: i32, begins: &str| {
        let (found, stdout, stderr) = run(folder, &hub.url(""), line);
        assert!(
            found == code && stdout.starts_with(begins),
            "{line}: {found} {stdout} {stderr}"
        );
    };
    check("list", 77, "Authentication Failed\n\nUse the login command");
    check("-u admin -p wrong list", 77, "Invalid Username or Password\n\n");
    check("-u pulp -p p list", 77, "Insufficient Permissions\n\n");
    check("-u admin -p s3:cret list", 0, "");
    check(
        "--username=admin --password=s3:cret amqp create --event-type=*",
        0,
        CREATED,
    );
    std::fs::write(folder.join("own.conf"), "[auth]\nusername: admin\npassword: s3:cret\n").unwrap();
    check("--config own.conf list", 0, "Event Types:       *\n");
    std::fs::create_dir(folder.join(".pulp")).unwrap();
    std::fs::copy(folder.join("own.conf"), folder.join(".pulp/admin.conf")).unwrap();
    check("list", 0, "Event Types:       *\n");
    check("-u admin -p wrong list", 77, "Invalid Username or Password\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_run() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(home.path()).await;
    let section = readme.split("### Pulp\n").nth(1).expect("a section on Pulp");
    let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
    let lines: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("busway listener "))
        .collect();
    assert!(lines.len() >= 3, "{section}");
    for line in lines {
        let (code, shown, said) = run(home.path(), &hub.url(""), &line.replace('\'', "\""));
        assert_eq!(code, 0, "{line}: {shown} {said}");
    }
    let (code, _) = hub.send(Method::GET, "/pulp/api/v2/events/", &[], "").await;
    assert_eq!(code, 200);
}
