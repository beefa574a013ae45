//! Alibaba EventBridge.

use axum::Router;

use super::Door;
use crate::error::Error;

/// Options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it is served.
    pub on: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on: true }
    }
}

/// Its routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
}

/// Brings subscriptions in line with what is kept.
///
/// # Errors
/// What is kept cannot be read or written.
pub(super) async fn start(_door: &Door) -> Result<(), Error> {
    Ok(())
}
