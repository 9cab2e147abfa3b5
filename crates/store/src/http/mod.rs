//! HTTP as registries and hubs need it: redirects followed by our own rules, answers bounded, stalls noticed.

mod auth;
mod client;
mod key;
mod reach;
mod session;

pub(crate) use client::{Answer, Call, authority, shown};
pub use client::{Client, Timing};
pub use key::SigningKey;
pub use reach::Reach;
pub use session::Credentials;
pub(crate) use session::Session;
