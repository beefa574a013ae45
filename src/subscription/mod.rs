//! What subscribers asked for, and how far each has come; kept across restarts.

mod model;
mod store;

pub use model::*;
pub use store::*;
