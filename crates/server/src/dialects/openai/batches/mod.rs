//! `/v1/batches`: many requests in a file, answered when there is nothing better to do.
//!
//! A batch is a directory: the input, what is known of it, and two files that grow by a line for each request that is
//! answered. Whoever works asks [`Batches::next_pending`] for a request, answers it as [`work`] says, and gives the answer to
//! [`Batches::record`]. After a crash the lines that are there are done and the others are asked for again.

mod job;
mod line;
mod store;

pub use job::{Answered, Job, Meta, Status};
pub use line::{Endpoint, Pending, Work, work};
pub use store::{Asked, Batches, Limits, request};
