//! One binary for all integration tests: one link, shared support.

mod log_crash; // the log under kill -9: nothing acknowledged is lost, nothing torn
