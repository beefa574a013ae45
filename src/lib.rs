//! Busway.

pub mod devkit;
pub mod error;
pub mod deliver;
pub mod event;
pub mod filter;
pub mod log;
pub mod metrics;
pub mod net;
pub mod plugin;
pub mod subscription;
pub mod tasks;
pub mod time;
