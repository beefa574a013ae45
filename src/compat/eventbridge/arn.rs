//! Names of resources as Alibaba writes them: `acs:eventbridge:<region>:<account>:eventbus/<bus>/rule/<rule>`.

use super::settings::Settings;

/// A bus's.
pub(super) fn bus(settings: &Settings, bus: &str) -> String {
    format!(
        "acs:eventbridge:{}:{}:eventbus/{bus}",
        settings.region, settings.account
    )
}

/// A rule's.
pub(super) fn rule(settings: &Settings, bus_name: &str, rule: &str) -> String {
    format!("{}/rule/{rule}", bus(settings, bus_name))
}

/// A source's; also the subject of the events that it produces.
pub(super) fn source(settings: &Settings, bus_name: &str, source: &str) -> String {
    format!("{}/eventsource/{source}", bus(settings, bus_name))
}

/// The bus that a bus's ARN names. Region and account are not looked at: one hub stands for all of them.
pub(super) fn bus_of(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(5, ':');
    let head = (parts.next()?, parts.next()?);
    let resource = parts.nth(2)?;
    let name = resource.strip_prefix("eventbus/")?;
    (head == ("acs", "eventbridge") && !name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_known_by_its_arn() {
        let settings = Settings::default();
        assert_eq!(bus_of(&bus(&settings, "orders")), Some("orders"));
        assert_eq!(
            rule(&settings, "a", "b"),
            "acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/a/rule/b"
        );
        for other in [
            "",
            "orders",
            "acs:mns:cn:1:/queues/q",
            "acs:eventbridge:cn:1:eventbus/",
            "acs:eventbridge:cn:1:eventbus/a/rule/b",
        ] {
            assert_eq!(bus_of(other), None, "{other}");
        }
    }
}
