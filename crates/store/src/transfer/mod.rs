//! Contents over a network: in pieces, several at once, each kept as it lands.

mod download;
mod journal;
pub(crate) mod plan;
mod source;
mod upload;

pub(crate) use download::Download;
pub(crate) use plan::Plan;
pub(crate) use source::Source;
pub(crate) use upload::upload;
