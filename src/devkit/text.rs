//! A plugin as WebAssembly text that names the contract's functions: assembled and made a component in this process.
//!
//! Why so: with the contract's types put in here, the text is a plain core module, which a person can read and write.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::WIT;
use crate::error::Error;

/// The component of a core module's text that exports this world (`filter-plugin` or `notifier-plugin`).
///
/// # Errors
/// `build_failed`: the text is not WebAssembly, or is no such plugin.
pub fn assemble(text: &str, world: &str) -> Result<Vec<u8>, Error> {
    let mut module = wat::parse_str(text).map_err(|cause| Error::invalid("build_failed", cause.to_string()))?;
    encode(&mut module, world).map_err(|cause| Error::invalid("build_failed", format!("not a {world}: {cause:#}")))
}

fn encode(module: &mut Vec<u8>, world: &str) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("busway.wit", WIT)?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(module)?.validate(true).encode()
}
