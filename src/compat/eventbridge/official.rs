//! Sources of Alibaba's own that this hub knows the events of, as consoles list them.

use serde_json::{Value, json};

use super::arn;
use super::call::Call;

/// Of the source `acs.mse`: the type, and the group that it belongs to.
const MSE: [&str; 9] = [
    "mse:Agent:GracefulShutdown",
    "mse:Agent:OutlierEjection",
    "mse:Agent:OutlierRecover",
    "mse:Agent:ServiceAuth",
    "mse:Config:ConfigurationItemChangeNotification",
    "mse:Config:NonCompliantNotification",
    "mse:ActionTrail:AliyunServiceEvent",
    "mse:ActionTrail:ApiCall",
    "mse:ActionTrail:ConsoleOperation",
];

/// `listAliyunOfficialEventSources`.
pub(super) fn sources(call: &Call) -> Value {
    let types: Vec<Value> = MSE
        .iter()
        .map(|name| {
            let mut parts = name.splitn(3, ':').skip(1);
            let (group, short) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            json!({ "Name": name, "EventSourceName": "acs.mse", "GroupName": group, "ShortName": short })
        })
        .collect();
    let arn = arn::source(call.settings(), "default", "acs.mse");
    let source = json!({
        "Name": "acs.mse",
        "FullName": "acs.mse",
        "Description": "Microservices Engine",
        "Arn": arn,
        "ARN": arn,
        "Status": "Activated",
        "Type": "AliyunOfficial",
        "EventBusName": "default",
        "Ctime": 0,
        "EventTypes": types,
    });
    json!({ "EventSourceList": [source], "NextToken": "", "Total": 1 })
}
