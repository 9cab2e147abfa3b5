//! Grammars for answers and calls.

use hearth_engine::Guide;

use super::{Failure, Request, models::Loaded, prepare::Prepared};

/// What the tokens of an answer have to be.
///
/// # Errors
/// When a schema or grammar cannot be used, with the reason.
pub(super) fn guide(
    model: &Loaded,
    request: &Request,
    prepared: &Prepared,
) -> Result<Option<Box<dyn Guide>>, Failure> {
    let _ = (model, prepared);
    match request.format {
        None => Ok(None),
        Some(_) => Err(Failure::invalid("format", "no grammar")),
    }
}
