//! The HTTP API. (Contract as the server expects it.)

/// THE ROUTE TABLE.
pub fn router(_hub: crate::hub::Hub) -> axum::Router {
    unimplemented!()
}
