//! Who may ask at all: the Host and Origin of a request, its path, and the scope that a route needs.

mod host;
mod origin;
mod path;
mod scope;

pub(crate) use host::Hosts;
pub use origin::BadOrigin;
pub(crate) use origin::Origins;
pub(crate) use path::normalise;
pub(crate) use scope::is_public;
pub use scope::scope_of;
