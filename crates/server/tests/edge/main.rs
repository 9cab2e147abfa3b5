//! The edge against real sockets: raw bytes in, raw bytes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guards;
mod harness;
mod http;
mod life;
mod limits;
mod secure;
