//! The tunnel in this process, which needs neither a kernel module nor rights.
//!
//! ```text
//!   UDP socket ── underlay ──► peers (boringtun: who is it, decrypt)
//!                                │ IP packets, source address checked
//!                              stack (smoltcp: TCP)
//!                                │ bytes, by wakers
//!                              Stream, Listener
//! ```
//!
//! One thread per tunnel, the engine, moves packets between the socket and the
//! stack; streams reach into the stack under its lock, from any executor, and
//! nudge the engine when they changed something that it must send.

mod complaint;
mod connection;
mod device;
mod engine;
mod peers;
mod pulse;
mod stack;
mod stream;
mod underlay;

pub(super) use engine::Engine;
pub(super) use stream::{Listener, Stream};

#[cfg(test)]
mod tests;
