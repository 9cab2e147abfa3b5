//! What the server knows of a request and hands to its handler, and what the handler tells in return.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

use super::refusal::{Refusal, Refused, Style};

/// The id of a request: the client's where it is sane, else one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// How errors of this request are told, and under which id.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    style: Style,
    request_id: Option<String>,
}

impl Told {
    pub(crate) fn of(extensions: &Extensions, path: &str) -> Self {
        Self {
            style: extensions
                .get::<Style>()
                .copied()
                .unwrap_or_else(|| Style::of(path)),
            request_id: extensions.get::<RequestId>().map(|id| id.0.to_string()),
        }
    }

    pub(crate) fn refused(self, refusal: Refusal) -> Refused {
        Refused {
            style: self.style,
            request_id: self.request_id,
            refusal,
        }
    }
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt, cached ones included.
    pub prompt: u64,
    /// Those of the prompt that were cached.
    pub cached: u64,
    /// Of the answer.
    pub generated: u64,
}

/// What a handler tells about its request, for the log, the metrics, the usage and the limits of the key. A clone is the
/// same account; what is told until the answer ended counts.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<Mutex<Entries>>);

/// The entries of an [`Account`].
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// The model by its full name.
    pub model: Option<String>,
    /// The route as the router knows it: `/v1/models/{id}`.
    pub route: Option<String>,
    /// The tokens so far.
    pub tokens: Tokens,
    /// When the first token was there.
    pub first_token: Option<Instant>,
    /// How the handler says it ended, where the status does not.
    pub failure: Option<&'static str>,
    /// Work that may outlive the client.
    work: Option<Weak<Rest>>,
}

/// A request is under way as long as this lives, even when its client went away.
#[derive(Debug, Default)]
pub struct Working(Arc<Rest>);

/// What is dropped when a request is over, once its client is done with it.
#[derive(Default)]
struct Rest(Mutex<Option<Box<dyn Send>>>);

impl std::fmt::Debug for Rest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Rest")
    }
}

impl Account {
    fn change(&self, change: impl FnOnce(&mut Entries)) {
        // Entries are plain values: a panic elsewhere leaves them usable.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was told so far.
    pub fn entries(&self) -> Entries {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The model by its full name, once it is known to exist: names that clients invent are not counted.
    pub fn model(&self, name: &str) {
        self.change(|entries| entries.model = Some(name.to_owned()));
    }

    /// The route as the router knows it.
    pub fn route(&self, route: &str) {
        self.change(|entries| entries.route = Some(route.to_owned()));
    }

    /// So many more tokens of prompts, of which so many were cached.
    pub fn read(&self, prompt: usize, cached: usize) {
        self.change(|entries| {
            entries.tokens.prompt += prompt as u64;
            entries.tokens.cached += cached as u64;
        });
    }

    /// One more token was generated; the first one is timed.
    pub fn token(&self) {
        self.change(|entries| {
            entries.tokens.generated += 1;
            entries.first_token.get_or_insert_with(Instant::now);
        });
    }

    /// The answer failed after its status was sent; a word for the log: `cancelled`, `internal`.
    pub fn failed(&self, why: &'static str) {
        self.change(|entries| entries.failure = Some(why));
    }
}

impl Account {
    /// The request lasts as long as the result lives.
    #[must_use = "the request ends when it is dropped"]
    pub fn outlive(&self) -> Working {
        let working = Working::default();
        self.change(|entries| entries.work = Some(Arc::downgrade(&working.0)));
        working
    }

    /// Drops something when the request is over: now, unless work outlives the client.
    pub(crate) fn drop_at_end(&self, rest: impl Send + 'static) {
        let work = self.entries().work.and_then(|work| work.upgrade());
        if let Some(work) = work {
            let rest: Box<dyn Send> = Box::new(rest);
            *work.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl Entries {
    /// From the beginning to the first token, and the mean time of each later one.
    pub fn token_times(
        &self,
        begin: Instant,
        end: Instant,
    ) -> Option<(Duration, Option<Duration>)> {
        let first = self.first_token?;
        let later = u32::try_from(self.tokens.generated.saturating_sub(1))
            .ok()
            .filter(|count| *count > 0);
        Some((
            first.duration_since(begin),
            later.map(|count| end.duration_since(first) / count),
        ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Style {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .copied()
            .unwrap_or_else(|| Self::of(parts.uri.path())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self("".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_times_are_means_after_the_first() {
        let begin = Instant::now();
        let first = begin + Duration::from_millis(30);
        let end = first + Duration::from_millis(40);
        let mut entries = Entries::default();
        assert_eq!(entries.token_times(begin, end), None);
        entries.first_token = Some(first);
        entries.tokens.generated = 1;
        assert_eq!(
            entries.token_times(begin, end),
            Some((Duration::from_millis(30), None))
        );
        entries.tokens.generated = 5;
        assert_eq!(
            entries.token_times(begin, end),
            Some((Duration::from_millis(30), Some(Duration::from_millis(10))))
        );
    }

    #[test]
    fn a_request_lasts_as_long_as_its_work() {
        let account = Account::default();
        let (ended, seen) = std::sync::mpsc::channel::<()>();
        let is_over = || seen.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
        let working = account.outlive();
        account.drop_at_end(ended);
        assert!(!is_over());
        drop(working);
        assert!(is_over());
        let (ended, seen) = std::sync::mpsc::channel::<()>();
        account.drop_at_end(ended);
        assert!(seen.recv().is_err());
    }

    #[test]
    fn clones_are_one_account() {
        let account = Account::default();
        account.clone().model("m");
        account.clone().token();
        account.token();
        assert_eq!(account.entries().tokens.generated, 2);
        assert_eq!(account.entries().model.as_deref(), Some("m"));
    }
}
