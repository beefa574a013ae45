//! Marathon's own clients, which nobody here wrote.

use serde_json::{Value, json};

use super::{KILLED, call_back, every_event};
use crate::support::{Clients, HubProcess, until};

const PYTHON: &str = r#"
import sys
from marathon import MarathonClient
from marathon.exceptions import MarathonHttpError
url, callback = sys.argv[1], sys.argv[2]
client = MarathonClient(url, username='any', password='body')
assert client.list_event_subscriptions() == []
made = client.create_event_subscription(callback)
assert made['eventType'] == 'subscribe_event' and made['callbackUrl'] == callback, made
assert client.list_event_subscriptions() == [callback]
assert client.delete_event_subscription(callback)['eventType'] == 'unsubscribe_event'
assert client.list_event_subscriptions() == []
try:
    client.create_event_subscription('foo')
    raise SystemExit('a URL that is none was taken')
except MarathonHttpError as error:
    assert error.status_code == 422 and error.error_message == 'Object is not valid', error
wanted = sys.argv[3:]
for event in client.event_stream(event_types=wanted or None):
    print(event.event_type, getattr(event, 'app_id', ''), flush=True)
    if event.event_type == 'app_terminated_event':
        break
"#;

#[tokio::test(flavor = "multi_thread")]
async fn marathon_python_works() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut script = Clients::Python.start(PYTHON, &[&hub.url(""), "http://127.0.0.1:9/cb?x=1&y=ü"]);
    assert_eq!(script.line().await.as_deref(), Some("event_stream_attached "));
    // Everything that this client knows, which is all but what begins with `scheduler_`; the end comes last.
    let known = |event: &&String| !event.contains("\"scheduler_") && !event.contains("app_terminated_event");
    let events: Vec<String> = every_event().iter().filter(known).cloned().collect();
    for event in &events {
        call_back(&hub, event).await;
    }
    hub.publish(
        &json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "com.example.unknown", "data": {"a": 1}}),
    )
    .await;
    call_back(
        &hub,
        r#"{"appId":"/a","eventType":"app_terminated_event","timestamp":"2016-04-26T09:04:21.276Z"}"#,
    )
    .await;
    for event in &events {
        let event: Value = serde_json::from_str(event).unwrap();
        let line = script.line().await.expect("one more");
        assert_eq!(line.split(' ').next(), event["eventType"].as_str());
    }
    assert_eq!(script.line().await.as_deref(), Some("app_terminated_event /a"));
    assert!(script.ended().await);

    let mut script = Clients::Python.start(PYTHON, &[&hub.url(""), "http://127.0.0.1:9/cb", "app_terminated_event"]);
    let listeners = async || {
        let page = hub.get("/v1/events?type=event_stream_attached").await;
        // The first script's, the one among the events, and this one's.
        page["events"].as_array().is_some_and(|all| all.len() == 3)
    };
    until("it listens", listeners).await;
    call_back(&hub, KILLED).await;
    call_back(
        &hub,
        r#"{"appId":"/b","eventType":"app_terminated_event","timestamp":"2016-04-26T09:04:21.276Z"}"#,
    )
    .await;
    assert_eq!(
        script.line().await.as_deref(),
        Some("app_terminated_event /b"),
        "only what it asked for"
    );
}

const NODE: &str = r#"
const Client = require('marathon-event-bus-client');
const [host, port] = process.argv[1].split(':');
const client = new Client({ marathonHost: host, marathonPort: port, eventTypes: ['status_update_event', 'deployment_info'] });
client.on('subscribed', () => console.log('subscribed'));
client.on('error', (error) => { console.log('error ' + JSON.stringify(error)); process.exit(1); });
client.on('status_update_event', (event) => console.log('status ' + JSON.stringify(event)));
client.on('deployment_info', (event) => { console.log('plan ' + JSON.stringify(event)); process.exit(0); });
client.subscribe();
"#;

#[tokio::test(flavor = "multi_thread")]
async fn marathon_event_bus_client_works() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut script = Clients::Node.start(NODE, &[hub.address()]);
    assert_eq!(script.line().await.as_deref(), Some("subscribed"));
    let path = "/v1/events?type=event_stream_attached";
    hub.until("it listens", path, |page| {
        page["events"].as_array().is_some_and(|all| all.len() == 1)
    })
    .await;
    let plan = every_event()
        .into_iter()
        .find(|event| event.contains("\"deployment_info\""))
        .unwrap();
    call_back(&hub, KILLED).await;
    call_back(&hub, &plan).await;
    for (word, event) in [("status", KILLED), ("plan", &plan)] {
        // It also talks to itself.
        let json = loop {
            let line = script.line().await.expect("an event");
            if let Some(json) = line.strip_prefix(word) {
                break json.to_owned();
            }
        };
        assert_eq!(
            serde_json::from_str::<Value>(&json).unwrap(),
            serde_json::from_str::<Value>(event).unwrap()
        );
    }
    assert!(script.ended().await);
}
