//! What a decoder is, which families there are, and the one program that runs them.
//!
//! A checkpoint's metadata becomes a [`Spec`] (the family's one function), the spec names the weights,
//! and the [`Model`] runs them on any [`Backend`](hearth_compute::Backend). A family has no forward pass of
//! its own.
#![forbid(unsafe_code)]

mod encode;
mod error;
mod executor;
pub mod families;
mod footprint;
mod names;
mod pooling;
mod recurrent;
mod rope;
mod settings;
mod spec;
mod state;
mod weights;

pub use encode::{Encoded, Text};
pub use error::Error;
pub use executor::{LoadOptions, Logits, Model, Run, STATES, Workspace};
pub use footprint::WeightMemory;
pub use hearth_compute::{Activation, Mask, NormKind, Pairing, Rope, Router};
pub use names::Names;
pub use pooling::{Classifier, Dense, Pooled, Pooling, Stored};
pub use rope::{Reach, Scaling, base_and_scaling};
pub use settings::Settings;
pub use spec::{
    Attention, Block, Experts, FeedForward, Head, Input, Layer, NormSpec, Op, Output, Positions,
    Selection, ShortConvolution, Spec, StateSpace,
};
pub use state::{Page, State};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
