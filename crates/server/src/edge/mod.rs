//! The edge of the server: everything between a socket and a dialect. Safe unless told otherwise.

pub mod address;
pub mod body;
pub mod caller;
pub mod config;
pub mod context;
pub mod guard;
pub mod keys;
pub(crate) mod limiter;
pub mod refusal;
mod routes;
pub mod serve;
pub mod stream;

pub use address::Address;
pub use body::{BodyLimits, Json};
pub use caller::Caller;
pub use config::{Config, ConfigError, Limits};
pub use context::{Account, RequestId, Tokens, Working};
pub use keys::{Key, KeyLimits, Keys, Scope};
pub use refusal::{Kind, Refusal, Refused, Style, error_body};
pub use routes::routes;
pub use serve::{ServeError, Server};
pub use stream::{CancelOnDrop, KEEP_ALIVE, Line, Sse, ndjson, replay, sse, sse_every};
