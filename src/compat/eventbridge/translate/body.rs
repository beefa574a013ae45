//! The parameter `Body`: what becomes of the event on its way to a target.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::rule::{Param, Target};

const LONGEST: usize = 10_240;

/// The subscription's `transform`; the complete event, if nothing is said.
pub(super) fn transform(target: &Target, body: Option<&Param>) -> Result<Value, Fault> {
    let Some(param) = body else {
        return Ok(json!({ "form": "ORIGINAL" }));
    };
    let refuse = |text: &str| {
        Fault::conflict(
            "InvalidConfig",
            format!("The config is invalid. which is [{}]. {text}", target.id),
        )
    };
    let (value, template) = (param.value.as_deref(), param.template.as_deref());
    if [value, template]
        .into_iter()
        .flatten()
        .any(|text| text.chars().count() > LONGEST)
    {
        return Err(refuse("Value and Template have at most 10240 characters each."));
    }
    match param.form.to_ascii_uppercase().as_str() {
        "ORIGINAL" | "" => Ok(json!({ "form": "ORIGINAL" })),
        form @ ("CONSTANT" | "JSONPATH") => {
            let value = value.ok_or_else(|| refuse("A Body of this form needs a Value."))?;
            Ok(json!({ "form": form, "value": value }))
        }
        "TEMPLATE" => {
            let template = template.ok_or_else(|| refuse("A Body of the form TEMPLATE needs a Template."))?;
            let variables: Value = serde_json::from_str(value.unwrap_or("{}"))
                .map_err(|_| refuse("The Value of a TEMPLATE must be a JSON object of variables."))?;
            let is_flat = variables
                .as_object()
                .is_some_and(|map| map.values().all(Value::is_string));
            match is_flat {
                true => Ok(json!({ "form": "TEMPLATE", "value": value.unwrap_or("{}"), "template": template })),
                false => Err(refuse(
                    "The Value of a TEMPLATE must be a JSON object whose values are texts.",
                )),
            }
        }
        other => Err(refuse(&format!(
            "There is no form {other}: use ORIGINAL, CONSTANT, JSONPATH or TEMPLATE."
        ))),
    }
}
