//! The edge of the server: everything between a socket and a dialect. Safe unless told otherwise.

pub mod body;
pub mod context;
pub mod refusal;
pub mod stream;

pub use body::{BodyLimits, Fields, Json};
pub use context::{Account, RequestId, Tokens};
pub use refusal::{Kind, Refusal, Refused, Style, error_body};
pub use stream::{CancelOnDrop, Line, Sse, ndjson, sse};
