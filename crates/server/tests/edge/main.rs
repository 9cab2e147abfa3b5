//! The edge against real sockets: raw bytes in, raw bytes out.

mod guards;
mod harness;
mod http;
mod life;
mod limits;
mod secure;
