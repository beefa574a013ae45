//! The CloudEvents libraries for Python (both of its modules) and JavaScript: what they send the hub takes, and what the
//! hub delivers they read, in every mode.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::{Clients, HubProcess, Receiver, Request};

/// What each library is told to send, as JSON; `id` says how.
const EVENT: &str = r#"{"source": "/library", "type": "com.example.made", "subject": "a/b", "tenant": "blue"}"#;
const DATA: &str = r#"{"n": 1, "text": "täg €"}"#;

const PYTHON_SENDS: &str = r#"
import http.client, json, sys, urllib.parse
url, attributes, data = urllib.parse.urlparse(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
def post(headers, body):
    # Not urllib: that adds a Content-Type where the library gives none.
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("POST", url.path, body if isinstance(body, bytes) else body.encode(), dict(headers))
    answer = connection.getresponse()
    assert answer.status == 202, answer.read()
from cloudevents.core.bindings import http as core
from cloudevents.core.v1.event import CloudEvent as Core
def core_event(id, **more):
    return Core(attributes={**attributes, "id": id, **more}, data=data)
for name, to in (("binary", core.to_binary_event), ("structured", core.to_structured_event)):
    message = to(core_event("core-" + name)); post(message.headers, message.body)
    message = to(core_event("core-typed-" + name, datacontenttype="application/json", subject="Euro € 😀")); post(message.headers, message.body)
from cloudevents.v1.http import CloudEvent as V1, to_binary, to_structured
for name, to in (("binary", to_binary), ("structured", to_structured)):
    headers, body = to(V1({**attributes, "id": "v1-" + name}, data)); post(headers, body)
batch = [json.loads(core.to_structured_event(core_event("batch-%d" % n)).body) for n in range(2)]
post({"content-type": "application/cloudevents-batch+json"}, json.dumps(batch))
"#;

const NODE_SENDS: &str = r#"
const { CloudEvent, HTTP } = require("cloudevents");
const [url, attributes, data] = process.argv.slice(-3);
const event = (id, more) => new CloudEvent({ ...JSON.parse(attributes), id, data: JSON.parse(data), ...more });
const post = async ({ headers, body }) => {
    const answer = await fetch(url, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(await answer.text());
};
(async () => {
    await post(HTTP.binary(event("node-binary")));
    await post(HTTP.structured(event("node-structured")));
    await post(HTTP.binary(event("node-typed", { datacontenttype: "application/json" })));
    const batch = [event("node-batch-0"), event("node-batch-1")];
    await post({ headers: { "content-type": "application/cloudevents-batch+json" }, body: JSON.stringify(batch) });
})();
"#;

const PYTHON_READS: &str = r#"
import base64, json, sys
from cloudevents.core.bindings import http as core
from cloudevents.v1.http import from_http
for one in json.loads(sys.argv[1]):
    headers, body = one["headers"], base64.b64decode(one["body"])
    event = core.from_http_event(core.HTTPMessage(headers=headers, body=body))
    print(json.dumps([event.get_id(), event.get_type(), event.get_subject(), event.get_extension("tenant"), event.get_data()]))
    event = from_http(headers, body)
    print(json.dumps([event["id"], event["type"], event["subject"], event["tenant"], event.data]))
"#;

const NODE_READS: &str = r#"
const { HTTP } = require("cloudevents");
for (const { headers, body } of JSON.parse(process.argv.at(-1))) {
    const message = { headers, body: Buffer.from(body, "base64").toString() };
    for (const event of [HTTP.toEvent(message)].flat())
        console.log(JSON.stringify([event.id, event.type, event.subject, event.tenant, event.data]));
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_libraries_send_is_taken_as_it_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let url = hub.url("/v1/events");
    Clients::Python.run(PYTHON_SENDS, &[&url, EVENT, DATA]).await;
    Clients::Node.run(NODE_SENDS, &[&url, EVENT, DATA]).await;
    let found = hub.get("/v1/events").await;
    let mut ids = Vec::new();
    for record in found["events"].as_array().unwrap() {
        let event = &record["event"];
        let id = event["id"].as_str().unwrap();
        ids.push(id.to_owned());
        let subject = if id.starts_with("core-typed") {
            "Euro € 😀"
        } else {
            "a/b"
        };
        assert_eq!(event["subject"], subject, "{id}");
        assert_eq!(
            (&event["type"], &event["tenant"]),
            (&json!("com.example.made"), &json!("blue")),
            "{id}"
        );
        let data: Value = serde_json::from_str(DATA).unwrap();
        assert_eq!(event["data"], data, "{id}: {event}");
    }
    ids.sort_unstable();
    let expected = [
        "batch-0",
        "batch-1",
        "core-binary",
        "core-structured",
        "core-typed-binary",
        "core-typed-structured",
        "node-batch-0",
        "node-batch-1",
        "node-binary",
        "node-structured",
        "node-typed",
        "v1-binary",
        "v1-structured",
    ];
    assert_eq!(ids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_delivers_the_libraries_read() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    for format in ["binary", "structured", "batch"] {
        let settings = json!({"format": format});
        let config = json!({"batch": {"count": 2, "wait": "50ms"}});
        let body = json!({"sink": receiver.url(&format!("/{format}")), "protocolsettings": settings, "config": config});
        hub.put(&format!("/v1/subscriptions/{format}"), &body).await;
    }
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    event["specversion"] = "1.0".into();
    event["id"] = "1".into();
    event["datacontenttype"] = "application/json".into();
    event["data"] = serde_json::from_str(DATA).unwrap();
    hub.publish(&event).await;
    let seen = receiver.wait_for(3).await;
    let at = |path: &str| seen.iter().find(|one| one.path == path).unwrap().clone();
    let expected = json!(["1", "com.example.made", "a/b", "blue", event["data"]]);
    let check = |told: String, count: usize| {
        let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, vec![expected.clone(); count]);
    };
    // The Python library reads no batches.
    let singles = messages(&[at("/binary"), at("/structured")]);
    check(Clients::Python.run(PYTHON_READS, &[&singles]).await, 4);
    let all = messages(&[at("/binary"), at("/structured"), at("/batch")]);
    check(Clients::Node.run(NODE_READS, &[&all]).await, 3);
}

fn messages(requests: &[Request]) -> String {
    let message = |request: &Request| {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        json!({"headers": headers, "body": BASE64.encode(&request.body)})
    };
    Value::Array(requests.iter().map(message).collect()).to_string()
}
