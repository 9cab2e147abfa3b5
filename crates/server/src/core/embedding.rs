//! Vectors of texts: what is asked and what comes of it.

use std::time::Duration;

use hearth_model::Pooling;

use super::request::{Class, Load, Piece};

/// A request for vectors.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    /// The model, as the client wrote it.
    pub model: String,
    /// One vector for each. Tokens are read as they are; texts get what the vocabulary puts around them.
    pub inputs: Vec<Piece>,
    /// Cut what is longer than the context; else it is refused, and with it the others.
    pub truncate: bool,
    /// Keep the first so many values and make the length 1 again; none, or more than there are, keeps all.
    pub dimensions: Option<usize>,
    /// Leave vectors as the model makes them, of any length.
    pub raw: bool,
    /// How the rows of a text become one vector; none is as the model says.
    pub pooling: Option<Pooling>,
    /// How the model is loaded and how long it stays.
    pub load: Load,
    /// Whether somebody waits for it.
    pub class: Class,
}

/// Vectors in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// The model by its full name.
    pub model: String,
    /// Each of length 1, unless they were asked for as they are.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs as they were read.
    pub tokens: usize,
    /// Inputs that were cut.
    pub truncated: usize,
    /// Time from the request to a model that is ready.
    pub load: Duration,
    /// From the request on.
    pub total: Duration,
    /// What was ignored or understood otherwise, in words.
    pub warnings: Vec<String>,
}

/// A query and the documents that may answer it.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// The model, as the client wrote it.
    pub model: String,
    /// What is looked for.
    pub query: String,
    /// Where.
    pub documents: Vec<String>,
    /// How the model is loaded and how long it stays.
    pub load: Load,
}

/// Scores of documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// The model by its full name.
    pub model: String,
    /// In the order of the documents, as the model gives them: larger is better.
    pub scores: Vec<f32>,
    /// Tokens that were read.
    pub tokens: usize,
}

/// Classes of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classified {
    /// The model by its full name.
    pub model: String,
    /// The classes' names.
    pub labels: Vec<String>,
    /// For each text the scores of the classes, as the model gives them.
    pub scores: Vec<Vec<f32>>,
    /// Tokens that were read.
    pub tokens: usize,
}
