//! Delivery as a whole: a real log, a real store, real sockets, and a clock that a test moves by hand.

mod batches;
mod catching_up;
mod control;
mod crash;
mod forwarding;
mod in_line;
mod outcomes;
pub(super) mod rig;
mod shapes;
mod strategies;
