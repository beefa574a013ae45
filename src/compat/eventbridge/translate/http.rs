//! Targets of the types `http` and `https`: a signed push.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::rule::Target;
use super::super::settings::Settings;
use super::{Params, Part, body};

/// The sink of a target.
pub(super) fn sink(settings: &Settings, target: &Target) -> Result<Part, Fault> {
    let mut params = Params::of(target);
    let url = params.constant(&["URL"])?.filter(|url| !url.is_empty());
    let url = url.unwrap_or(&target.endpoint);
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let text = "Its Endpoint (or its parameter URL) must be an http or https URL.";
        return Err(Fault::target(&target.id, text));
    }
    let transform = body::transform(target, params.take(&["Body"]))?;
    params.only("Method", &["POST"])?;
    params.only("Network", &["PublicNetwork", "PrivateNetwork"])?;
    params.only("NetworkType", &["PublicNetwork", "PrivateNetwork"])?;
    params.only("IsBase64Encode", &["false"])?;
    let token = params
        .constant(&["Token", "SecretKey"])?
        .filter(|token| !token.is_empty());
    params.end()?;
    let mut part = Part::new();
    part.insert("protocol".to_owned(), "HTTP".into());
    part.insert("sink".to_owned(), url.into());
    part.insert("transform".to_owned(), transform);
    part.insert("protocolsettings".to_owned(), protocol(settings, token));
    Ok(part)
}

fn protocol(settings: &Settings, token: Option<&str>) -> Value {
    match (settings.sign, token) {
        // A token is only of use in a signature.
        (_, Some(token)) => json!({ "sign": "eventbridge", "token": token }),
        (true, None) => json!({ "sign": "eventbridge" }),
        (false, None) => json!({}),
    }
}
