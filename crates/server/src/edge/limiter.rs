//! What each key has taken, and whether it may take more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::keys::{KeyLimits, Keys};
use super::refusal::{Kind, Refusal};

const MINUTE: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 86_400;

/// Seconds since 1970, for days in UTC.
pub(crate) fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[derive(Debug)]
struct State {
    limits: KeyLimits,
    running: u32,
    /// Requests that may begin now; grows to the limit within a minute.
    requests: f64,
    counted: Option<Instant>,
    day: u64,
    tokens: u64,
}

/// What all keys have taken. By the place of the key.
#[derive(Debug)]
pub(crate) struct Limiter(Vec<Mutex<State>>);

impl Limiter {
    /// `concurrent` is for keys that have no such limit of their own.
    pub(crate) fn new(keys: &Keys, concurrent: Option<u32>) -> Self {
        let state = |mut limits: KeyLimits| {
            limits.concurrent = limits.concurrent.or(concurrent);
            Mutex::new(State {
                limits,
                running: 0,
                requests: f64::from(limits.requests_per_minute.unwrap_or(0)),
                counted: None,
                day: 0,
                tokens: 0,
            })
        };
        Self(keys.iter().map(|key| state(key.limits)).collect())
    }

    fn state(&self, place: usize) -> Option<MutexGuard<'_, State>> {
        Some(
            self.0
                .get(place)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Counts tokens: those of a request that ended, or those of today before a restart.
    pub(crate) fn spend(&self, place: usize, tokens: u64, unix: u64) {
        if let Some(mut state) = self.state(place) {
            state.turn_day(unix);
            state.tokens = state.tokens.saturating_add(tokens);
        }
    }

    /// Lets a request begin, or says when it may.
    pub(crate) fn admit(
        self: &Arc<Self>,
        place: usize,
        now: Instant,
        unix: u64,
    ) -> Result<Permit, Refusal> {
        if let Some(mut state) = self.state(place) {
            state.admit(now, unix)?;
        }
        Ok(Permit {
            limiter: Arc::clone(self),
            place,
        })
    }
}

impl State {
    fn turn_day(&mut self, unix: u64) {
        let day = unix / DAY_SECONDS;
        if self.day != day {
            self.day = day;
            self.tokens = 0;
        }
    }

    fn admit(&mut self, now: Instant, unix: u64) -> Result<(), Refusal> {
        let refuse = |what: String, wait| Err(Refusal::new(Kind::RateLimit, what).after(wait));
        if let Some(limit) = self
            .limits
            .concurrent
            .filter(|limit| self.running >= *limit)
        {
            let what = format!(
                "this key has {limit} requests running and may have no more: wait for one to end"
            );
            return refuse(what, Duration::from_secs(1));
        }
        self.turn_day(unix);
        if let Some(limit) = self
            .limits
            .tokens_per_day
            .filter(|limit| self.tokens >= *limit)
        {
            let rest = Duration::from_secs(DAY_SECONDS - unix % DAY_SECONDS);
            let what = format!(
                "this key has used {} of its {limit} tokens of today (UTC): try again tomorrow",
                self.tokens
            );
            return refuse(what, rest);
        }
        if let Some(limit) = self.limits.requests_per_minute {
            let rate = f64::from(limit) / MINUTE.as_secs_f64();
            let passed = self
                .counted
                .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
            self.requests = (self.requests + passed.as_secs_f64() * rate).min(f64::from(limit));
            self.counted = Some(now);
            if self.requests < 1.0 {
                let wait = if limit == 0 {
                    MINUTE
                } else {
                    Duration::from_secs_f64((1.0 - self.requests) / rate)
                };
                return refuse(
                    format!("this key may make {limit} requests a minute: wait and try again"),
                    wait,
                );
            }
            self.requests -= 1.0;
        }
        self.running += 1;
        Ok(())
    }
}

/// A request that runs; the key gets its place back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    place: usize,
}

impl Permit {
    /// Counts what the request used.
    pub(crate) fn spend(&self, tokens: u64) {
        self.limiter.spend(self.place, tokens, unix_seconds());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(mut state) = self.limiter.state(self.place) {
            state.running = state.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Key, Scope};
    use super::*;

    fn limiter(limits: KeyLimits, concurrent: Option<u32>) -> Arc<Limiter> {
        let mut keys = Keys::none();
        keys.add(Key::new("a", "secret", Scope::Use, limits).unwrap())
            .unwrap();
        Arc::new(Limiter::new(&keys, concurrent))
    }

    #[test]
    fn requests_come_back_evenly_within_a_minute() {
        let limiter = limiter(
            KeyLimits {
                requests_per_minute: Some(6),
                ..KeyLimits::default()
            },
            None,
        );
        let begin = Instant::now();
        for _ in 0..6 {
            limiter.admit(0, begin, 0).unwrap();
        }
        let refusal = limiter.admit(0, begin, 0).unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.retry_after),
            (429, Some(Duration::from_secs(10)))
        );
        assert!(limiter.admit(0, begin + Duration::from_secs(9), 0).is_err());
        assert!(limiter.admit(0, begin + Duration::from_secs(11), 0).is_ok());
        assert!(
            limiter
                .admit(0, begin + Duration::from_secs(11), 0)
                .is_err()
        );
    }

    #[test]
    fn tokens_last_for_a_day() {
        let limiter = limiter(
            KeyLimits {
                tokens_per_day: Some(100),
                ..KeyLimits::default()
            },
            None,
        );
        let now = Instant::now();
        limiter.spend(0, 99, 10);
        assert!(limiter.admit(0, now, 20).is_ok());
        limiter.spend(0, u64::MAX, 30);
        let refusal = limiter.admit(0, now, DAY_SECONDS - 40).unwrap_err();
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(40)));
        assert!(limiter.admit(0, now, DAY_SECONDS).is_ok());
    }

    #[test]
    fn requests_at_one_time_are_counted_until_they_end() {
        let limiter = limiter(KeyLimits::default(), Some(2));
        let now = Instant::now();
        let first = limiter.admit(0, now, 0).unwrap();
        let _second = limiter.admit(0, now, 0).unwrap();
        assert!(limiter.admit(0, now, 0).is_err());
        drop(first);
        assert!(limiter.admit(0, now, 0).is_ok());
    }

    #[test]
    fn none_is_no_limit_and_zero_is_nothing() {
        let free = limiter(KeyLimits::default(), None);
        let permits: Vec<_> = (0..1000)
            .map(|_| free.admit(0, Instant::now(), 0).unwrap())
            .collect();
        assert_eq!(permits.len(), 1000);
        let closed = limiter(
            KeyLimits {
                requests_per_minute: Some(0),
                ..KeyLimits::default()
            },
            None,
        );
        assert!(closed.admit(0, Instant::now(), 0).is_err());
    }
}
