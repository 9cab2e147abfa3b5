//! Kernels per instruction set, the thread team, and the operations a model is made of.

#![deny(unsafe_code)]

pub mod backend;
mod cpu;
mod error;
pub mod isa;
#[allow(
    unsafe_code,
    reason = "vector instructions and raw loads; every function has a scalar twin"
)]
mod kernels;
pub mod matmul;
pub mod matrix;
pub mod measure;
mod ops;
mod sizes;
#[allow(
    unsafe_code,
    reason = "a job is lent to threads that outlive it; the protocol is in the module"
)]
pub mod team;

pub use backend::{
    Activation, Attend, Backend, Convolution, Experts, Linear, Mask, Norm, NormKind, Pairing,
    Precision, Rope, Router, Scan, ScanInputs, Scoring, Span,
};
pub use cpu::{Buffer, Cpu};
pub use error::Error;
pub use isa::{Isa, IsaError};
pub use matmul::{Product, linear};
pub use matrix::{Matrix, MatrixError};
pub use ops::{cache::Cache, page::CachePage, recurrent::Recurrent};
pub use sizes::{Counted, Shadow, Sizes};
pub use team::Team;
