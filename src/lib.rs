//! Busway.

pub mod api;
pub mod deliver;
pub mod devkit;
pub mod error;
pub mod event;
pub mod filter;
pub mod hub;
pub mod log;
pub mod metrics;
pub mod net;
pub mod plugin;
pub mod subscription;
pub mod tasks;
pub mod time;
