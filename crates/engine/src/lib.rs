//! Sequences, steps and sampling over a loaded model.
