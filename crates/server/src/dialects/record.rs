//! What no other server tells, and every answer here does.

use serde_json::{Value, json};

use crate::core::{Finish, Outcome, Started};

/// How full the context is, what was dropped from it because the caller allowed it, and, with `notes`, what was ignored
/// or understood otherwise than it was written. An answer has an outcome for each choice, which share a prompt.
pub(super) fn record<'a>(
    started: &Started,
    outcomes: impl Iterator<Item = &'a Outcome> + Clone,
    notes: impl IntoIterator<Item = String>,
) -> Value {
    let longest = outcomes.clone().map(|outcome| outcome.tokens).max();
    let dropped: usize = outcomes.clone().map(|outcome| outcome.dropped_tokens).sum();
    let mut warnings = started.warnings.clone();
    warnings.extend(notes);
    if outcomes
        .clone()
        .any(|outcome| outcome.finish == Finish::Cancelled)
    {
        warnings.push(
            "the answer was cut: the request was cancelled or the server shuts down".to_owned(),
        );
    }
    json!({
        "used": (started.prompt_tokens + longest.unwrap_or(0)).saturating_sub(dropped),
        "limit": started.context,
        "dropped": { "messages": started.dropped_messages, "tokens": dropped },
        "warnings": warnings,
    })
}
