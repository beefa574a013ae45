//! RPC's older signature: everything in parameters, HMAC-SHA1 over all of them.

use ring::hmac;

use super::super::fault::Fault;
use super::acs3::{escaped, joined};
use super::{Claim, base64, unreadable};
use crate::event::parse_rfc3339;

pub(super) fn read(method: &str, pairs: &[(String, String)]) -> Result<Claim, Fault> {
    let given = |name: &str| {
        pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let (Some(key), Some(signature)) = (given("AccessKeyId"), given("Signature")) else {
        return Err(unreadable(
            "Sign the request, with the header Authorization or the parameters AccessKeyId and Signature.",
        ));
    };
    let algorithm = match given("SignatureMethod") {
        None | Some("HMAC-SHA1") => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Some("HMAC-SHA256") => hmac::HMAC_SHA256,
        Some(other) => {
            let text = format!(
                "Specified parameter SignatureMethod is not valid: {other}; it must be HMAC-SHA1 or HMAC-SHA256."
            );
            return Err(Fault::denied("InvalidSignatureMethod", text));
        }
    };
    let date = given("Timestamp").and_then(parse_rfc3339);
    if date.is_none() {
        return Err(Fault::denied(
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        ));
    }
    let signed = pairs.iter().filter(|(name, _)| name != "Signature").cloned().collect();
    Ok(Claim {
        key: key.to_owned(),
        signature: base64(signature)?,
        texts: vec![format!("{method}&%2F&{}", escaped(&joined(signed)))],
        algorithm,
        suffix: "&",
        date,
        nonce: given("SignatureNonce").map(str::to_owned),
    })
}
