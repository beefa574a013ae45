//! One binary for all integration tests: one link, shared support.
