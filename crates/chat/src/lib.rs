//! Chat templates and messages.
