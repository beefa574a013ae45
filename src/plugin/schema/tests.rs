//! Schemas as plugins give them, good and bad, and the words for what breaks them.

use serde_json::json;

use super::*;

fn schema(json: &Value) -> Schema {
    Schema::compile(&json.to_string()).unwrap()
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(map) => map,
        other => panic!("no object: {other}"),
    }
}

#[test]
fn a_bad_schema_is_refused_with_its_reason() {
    let check = |text: &str, says: &str| {
        let refused = Schema::compile(text).map(|_| ()).unwrap_err();
        assert!(refused.contains(says), "{text}\n{refused}");
    };
    check("{", "is not JSON");
    check("[]", "must be a JSON object");
    check(r#"{"type": "numbr"}"#, "is not valid JSON Schema, /type");
    check(r#"{"properties": {"a": {"minimum": "1"}}}"#, "/properties/a/minimum");
    check(r#"{"properties": {"a": {"pattern": "("}}}"#, "/properties/a/pattern");
    check(r#"{"$ref": "https://example.com/s.json"}"#, "nothing is fetched");
    check(r#"{"$ref": "other.json"}"#, "nothing is fetched");
    check(r#"{"$ref": "file:///etc/passwd"}"#, "nothing is fetched");
    check(r##"{"$ref": "#"}"##, "does it refer to itself?");
    check(
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}}"##,
        "does it refer to itself?",
    );
    check(r##"{"$ref": "#/$defs/none"}"##, "there is nothing there");
    check(r##"{"$dynamicRef": "#x"}"##, "uses $dynamicRef");
    check(
        &format!(r#"{{"description": "{}"}}"#, "x".repeat(LARGEST)),
        "bytes; it may have",
    );
}

#[test]
fn a_schema_that_grows_when_followed_is_refused() {
    let mut defs = Map::new();
    for level in 0..14 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        defs.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d14".to_owned(), json!({}));
    let refused = Schema::compile(&json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()).unwrap_err();
    assert!(refused.contains("more than 10000 parts"), "{refused}");
}

/// A schema with every rule that the test below breaks.
fn of_all_kinds() -> Schema {
    schema(&json!({
        "type": "object",
        "properties": {
            "host": {"type": "string", "minLength": 1, "description": "the server"},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "mode": {"enum": ["drop", "pass"]},
            "to": {"type": "array", "items": {"type": "string", "pattern": "@"}, "minItems": 1},
            "tls": {"type": "object", "properties": {"verify": {"type": "boolean"}}, "additionalProperties": false},
            "password": {"type": "string", "maxLength": 3, "writeOnly": true},
            "url": {"type": "string", "pattern": "^amqp:"},
            "min": {}, "max": {},
        },
        "required": ["host"],
        "anyOf": [{"required": ["min"]}, {"required": ["max"]}],
        "additionalProperties": false,
    }))
}

#[test]
fn every_fault_has_its_place_and_its_rule() {
    let schema = of_all_kinds();
    let check = |config: Value, expected: &[(&str, &str, Option<&str>)]| {
        let mut whole = object(json!({"host": "a", "min": 1}));
        whole.extend(object(config.clone()));
        whole.retain(|_, value| !value.is_null());
        let faults = schema.faults(&whole);
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.path.as_str(), fault.rule.as_str(), fault.given.as_deref()))
            .collect();
        assert_eq!(found, expected, "{config}");
    };
    check(json!({}), &[]);
    check(json!({"host": null}), &[(".host", "is required: the server", None)]);
    check(json!({"host": ""}), &[(".host", "must not be empty", Some("\"\""))]);
    check(json!({"min": null}), &[("", "needs `min` or `max`", None)]);
    check(
        json!({"port": "587"}),
        &[(".port", "must be a whole number", Some("\"587\""))],
    );
    check(json!({"port": 0}), &[(".port", "must be at least 1", Some("0"))]);
    check(
        json!({"mode": "keep"}),
        &[(".mode", "must be \"drop\" or \"pass\"", Some("\"keep\""))],
    );
    check(
        json!({"to": ["a@b", "c"]}),
        &[(".to[1]", "must match the pattern @", Some("\"c\""))],
    );
    check(json!({"to": []}), &[(".to", "must have at least 1 items", Some("[]"))]);
    check(
        json!({"prot": 1}),
        &[(
            ".prot",
            "is not a field of this plugin's config; did you mean `port`?",
            None,
        )],
    );
    check(
        json!({"tls": {"verfy": true}}),
        &[(
            ".tls.verfy",
            "is not a field of this plugin's config; did you mean `verify`?",
            None,
        )],
    );
    check(
        json!({"password": "hunter2"}),
        &[(".password", "must have at most 3 characters", None)],
    );
    check(
        json!({"url": "http://u:p@host"}),
        &[(".url", "must match the pattern ^amqp:", None)],
    );
}

#[test]
fn no_rule_tells_the_value_that_broke_it() {
    let secret = "s3cr3t-value";
    for rule in [
        json!({"type": "integer"}),
        json!({"enum": [1]}),
        json!({"const": 1}),
        json!({"maxLength": 1}),
        json!({"pattern": "^x"}),
        json!({"format": "ipv4"}),
        json!({"not": {"type": "string"}}),
        json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
        json!({"if": true, "then": {"type": "null"}}),
        json!({"$ref": "#/$defs/never"}),
        json!(false),
    ] {
        let schema = schema(&json!({"properties": {"a": rule}, "$defs": {"never": false}}));
        let faults = schema.faults(&object(json!({"a": secret})));
        assert!(!faults.is_empty(), "{rule}");
        for fault in faults {
            assert!(!fault.told("config").contains(secret), "{rule}: {fault:?}");
        }
    }
}

#[test]
fn of_a_part_only_what_nothing_can_mend_is_told() {
    let schema = schema(&json!({
        "properties": {"host": {"type": "string"}, "port": {"type": "integer"}},
        "required": ["host", "port"],
        "additionalProperties": false,
    }));
    let check = |part: Value, paths: &[&str]| {
        let faults = schema.faults_of_part(&object(part.clone()));
        let found: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(found, paths, "{part}");
    };
    check(json!({}), &[]);
    check(json!({"host": "a"}), &[]);
    check(json!({"port": "1"}), &[".port"]);
    check(json!({"prot": 1}), &[".prot"]);
}

#[test]
fn the_sink_is_given_only_to_who_may_take_it() {
    for (json, takes) in [
        (json!({}), true),
        (json!({"properties": {"url": {}}, "additionalProperties": false}), false),
        (json!({"properties": {"sink": {}}, "additionalProperties": false}), true),
    ] {
        assert_eq!(schema(&json).takes_sink(), takes, "{json}");
    }
}

#[test]
fn fields_are_what_a_person_sets() {
    let json = json!({
        "properties": {
            "host": {"type": "string", "description": "the server"},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 587},
            "mode": {"enum": ["drop", "pass"]},
            "to": {"type": "array", "items": {"$ref": "#/$defs/address"}},
            "tls": {"properties": {"verify": {"type": "boolean"}}, "required": ["verify"]},
            "extra": {"type": ["string", "null"]},
        },
        "required": ["host"],
        "$defs": {"address": {"type": "string"}},
    });
    let found = fields(&json);
    let lines: Vec<String> = found
        .iter()
        .map(|field| {
            format!(
                "{} {:?} {} {} {:?}",
                field.name, field.kind, field.takes, field.required, field.default
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "host Text string true None",
            "tls.verify Switch boolean true None",
            "extra Any string or null false None",
            "mode Text \"drop\" or \"pass\" false None",
            "port Integer integer, 1 to 65535 false Some(Number(587))",
            "to List(Text) list of string false None",
        ]
    );
    let mut config = Map::new();
    for field in &found {
        let value = field.kind.read(match field.kind {
            FieldKind::Switch => "true",
            FieldKind::Integer => "25",
            _ => "a, b",
        });
        field.put(&mut config, value.unwrap());
    }
    let expected =
        json!({"host": "a, b", "port": 25, "mode": "a, b", "to": ["a", "b"], "tls": {"verify": true}, "extra": "a, b"});
    assert_eq!(Value::Object(config), expected);
}

#[test]
fn text_is_read_by_the_kind() {
    let check = |kind: FieldKind, text: &str, expected: Result<Value, &str>| {
        assert_eq!(kind.read(text), expected.map_err(str::to_owned), "{kind:?} {text}");
    };
    check(FieldKind::Text, "12", Ok(json!("12")));
    check(FieldKind::Number, "1.5", Ok(json!(1.5)));
    check(FieldKind::Number, "x", Err("must be a number"));
    check(FieldKind::Integer, "1.5", Err("must be a whole number"));
    check(FieldKind::Switch, "yes", Err("must be true or false"));
    check(FieldKind::List(Box::new(FieldKind::Integer)), "1, 2", Ok(json!([1, 2])));
    check(
        FieldKind::List(Box::new(FieldKind::Text)),
        "[\"a,b\"]",
        Ok(json!(["a,b"])),
    );
    check(FieldKind::List(Box::new(FieldKind::Text)), "", Ok(json!([])));
    check(
        FieldKind::List(Box::new(FieldKind::Integer)),
        "1,x",
        Err("must be a whole number"),
    );
    check(FieldKind::Any, "{\"a\": 1}", Ok(json!({"a": 1})));
    check(FieldKind::Any, "plain", Ok(json!("plain")));
}
