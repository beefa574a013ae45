//! One binary for all integration tests: one link, shared support.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the functions around a test may fail it as the test itself may"
)]

mod log_crash; // the log under kill -9: nothing acknowledged is lost, nothing torn
