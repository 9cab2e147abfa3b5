//! Models kept, fetched, named and shared without loss.
#![forbid(unsafe_code)]
