//! The HTTP server: one engine behind the protocols that people already use.
#![forbid(unsafe_code)]

pub mod core;
pub mod dialects;
pub mod edge;
pub mod library;
pub mod logs;
pub mod metrics;
pub mod openapi;
pub mod routes;
pub mod usage;
