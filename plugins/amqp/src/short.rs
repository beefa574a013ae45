//! A text of at most 255 bytes, which is what AMQP carries in most places.

use std::fmt;

/// Checked once, so that writing it cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short(String);

impl Short {
    /// `what` names the text in the error.
    pub fn new(what: &str, text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        match text.len() {
            0..=255 => Ok(Self(text)),
            length => Err(format!("{what} has {length} bytes, and AMQP carries at most 255")),
        }
    }

    /// A text of our own, which is known to be short.
    pub fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length, as it is written.
    pub fn length(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_short() {
        assert_eq!(Short::new("x", "a".repeat(255)).unwrap().length(), 255);
        let error = Short::new("the routing key", "ä".repeat(128)).unwrap_err();
        assert_eq!(error, "the routing key has 256 bytes, and AMQP carries at most 255");
    }
}
