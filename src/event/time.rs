//! RFC 3339.
use crate::time::Timestamp;
/// Parses an RFC 3339 timestamp.
pub fn parse_rfc3339(_text: &str) -> Option<Timestamp> { unimplemented!() }
