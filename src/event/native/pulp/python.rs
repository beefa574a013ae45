//! JSON as Python's `json.dumps` spells it: `", "` and `": "` between, and nothing but printable ASCII.
//!
//! Text in, text out: numbers and the order of keys stay as they were written, which a parsed value would not keep.
//! Why not a serializer of our own: what is shown comes from structs, from documents and from producers, and one pass
//! over their text serves all three.
//! Invariant: the result means what the input means, if that is JSON.

/// The same JSON, as Python writes it on one line.
pub fn spelled(json: &str) -> String {
    let mut written = String::with_capacity(json.len() + json.len() / 8);
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        let is_quote = letter == '"' && !escaped;
        escaped = in_string && letter == '\\' && !escaped;
        in_string ^= is_quote;
        match letter {
            ',' | ':' if !in_string => written.extend([letter, ' ']),
            ' ' | '\t' | '\r' | '\n' if !in_string => {}
            ' '..='~' => written.push(letter),
            letter => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    written
}

/// A string as Python writes it in JSON.
pub fn quoted(text: &str) -> String {
    spelled(&serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_and_escapes_are_pythons() {
        // Each checked against `json.dumps(json.loads(…))`.
        for (json, python) in [
            ("{}", "{}"),
            ("[]", "[]"),
            ("null", "null"),
            (r#"{"a":1,"b":[1,2.50,-3e2]}"#, r#"{"a": 1, "b": [1, 2.50, -3e2]}"#),
            ("{ \"a\" :\n\t[ ] }", r#"{"a": []}"#),
            (r#"{"a,b:c":"d, e: \" f\\"}"#, r#"{"a,b:c": "d, e: \" f\\"}"#),
            (r#"["\\",":"]"#, r#"["\\", ":"]"#),
            ("\"p\u{fc}lp \u{1f600}\u{7f}\"", r#""p\u00fclp \ud83d\ude00\u007f""#),
        ] {
            assert_eq!(spelled(json), python, "{json}");
        }
        assert_eq!(quoted("a\"\u{1}\n\u{2028}"), r#""a\"\u0001\n\u2028""#);
    }
}
