//! What the server measures, as Prometheus reads it. Other modules set the handles.

mod llama;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use llama::{LlamaMetrics, Tally};
pub use text::CONTENT_TYPE;

use crate::edge::{Account, Tokens};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Models that are counted under their own name; the rest are `other`.
const MOST_MODELS: usize = 1000;

/// Where a request ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabels {
    /// The request's method.
    pub method: String,
    /// The route as the router knows it, or `other`.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
}

/// Which kind of token.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum TokenKind {
    /// Read from the prompt and computed.
    Prompt,
    /// Of the prompt, and known already.
    Cached,
    /// Of the answer.
    Generated,
}

impl EncodeLabelValue for TokenKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Self::Prompt => "prompt",
            Self::Cached => "cached",
            Self::Generated => "generated",
        }
        .encode(encoder)
    }
}

/// Tokens of a model.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TokenLabels {
    /// The model by its full name.
    pub model: String,
    /// Which kind.
    pub kind: TokenKind,
}

/// A model.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ModelLabels {
    /// The model by its full name.
    pub model: String,
}

/// What a loaded model does at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// The model by its full name.
    pub model: String,
    /// Texts that are read or generated.
    pub running: usize,
    /// Texts that wait for a place.
    pub waiting: usize,
    /// Pages of the texts that run.
    pub own_pages: usize,
    /// Pages that are kept for texts to come.
    pub kept_pages: usize,
    /// Pages that there may be.
    pub most_pages: usize,
}

/// Who says what the loaded models do.
#[derive(Default)]
struct Look(OnceLock<Box<dyn Fn() -> Vec<Busy> + Send + Sync>>);

impl fmt::Debug for Look {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Look({})", self.0.get().is_some())
    }
}

/// Everything that is measured. Gauges are set by whoever knows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    look: Look,
    models: Mutex<HashSet<String>>,
    /// Requests that ended.
    pub requests: Family<RouteLabels, Counter>,
    /// Requests that run, their answers included.
    pub in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Tokens by model and kind.
    pub tokens: Family<TokenLabels, Counter>,
    /// Seconds from a request to its first token.
    pub first_token: Family<ModelLabels, Histogram, fn() -> Histogram>,
    /// Mean seconds between the later tokens of a request.
    pub per_token: Family<ModelLabels, Histogram, fn() -> Histogram>,
    /// Requests that wait for a model.
    pub queue: Family<ModelLabels, Gauge>,
    /// Texts that are read or generated.
    pub texts: Family<ModelLabels, Gauge>,
    /// Pages of caches that are used, kept ones among them.
    pub pages_used: Family<ModelLabels, Gauge>,
    /// Pages of caches that are kept for texts to come.
    pub pages_kept: Family<ModelLabels, Gauge>,
    /// Pages of caches that there are.
    pub pages_total: Family<ModelLabels, Gauge>,
    /// Models in memory.
    pub loaded_models: Gauge,
    /// What llama-server measures.
    pub llama: LlamaMetrics,
}

fn first_token_buckets() -> Histogram {
    Histogram::new([
        0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ])
}

fn per_token_buckets() -> Histogram {
    Histogram::new([
        0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics in which nothing happened yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hearth"),
            look: Look::default(),
            models: Mutex::default(),
            requests: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            tokens: Family::default(),
            first_token: Family::new_with_constructor(first_token_buckets),
            per_token: Family::new_with_constructor(per_token_buckets),
            queue: Family::default(),
            texts: Family::default(),
            pages_used: Family::default(),
            pages_kept: Family::default(),
            pages_total: Family::default(),
            loaded_models: Gauge::default(),
            llama: LlamaMetrics::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests that ended", self.requests.clone());
        registry.register(
            "requests_in_flight",
            "Requests that run",
            self.in_flight.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "tokens",
            "Tokens by kind; cached ones are not in prompt",
            self.tokens.clone(),
        );
        registry.register(
            "time_to_first_token_seconds",
            "From a request to its first token",
            self.first_token.clone(),
        );
        registry.register(
            "time_per_token_seconds",
            "Mean time between later tokens of a request",
            self.per_token.clone(),
        );
        registry.register("queue_length", "Requests that wait", self.queue.clone());
        registry.register(
            "texts_running",
            "Texts that are read or generated",
            self.texts.clone(),
        );
        registry.register(
            "cache_pages_used",
            "Pages of caches in use, kept ones among them",
            self.pages_used.clone(),
        );
        registry.register(
            "cache_pages_kept",
            "Pages of caches that are kept for texts to come",
            self.pages_kept.clone(),
        );
        registry.register("cache_pages", "Pages of caches", self.pages_total.clone());
        registry.register(
            "loaded_models",
            "Models in memory",
            self.loaded_models.clone(),
        );
    }

    /// Counts a request that ended.
    pub(crate) fn ended(
        &self,
        method: &str,
        status: u16,
        account: &Account,
        begin: Instant,
        end: Instant,
    ) {
        let entries = account.entries();
        let labels = RouteLabels {
            // A client may invent methods.
            method: METHODS
                .iter()
                .find(|known| **known == method)
                .map_or("OTHER", |known| known)
                .to_owned(),
            route: entries.route.clone().unwrap_or_else(|| "other".to_owned()),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let Some(model) = &entries.model else {
            return;
        };
        let model = self.bounded(model);
        self.count_tokens(&model, entries.tokens);
        let times = entries.token_times(begin, end);
        let mut tally = Tally {
            prompt_tokens: entries.tokens.prompt.saturating_sub(entries.tokens.cached),
            cached_tokens: entries.tokens.cached,
            generated_tokens: entries.tokens.generated,
            ..Tally::default()
        };
        if let Some((first, later)) = times {
            let more =
                u32::try_from(entries.tokens.generated.saturating_sub(1)).unwrap_or(u32::MAX);
            tally.prompt_time = first;
            tally.generated_time = later.unwrap_or_default().saturating_mul(more);
        }
        self.llama.add(&tally);
        self.llama
            .sequence_length(entries.tokens.prompt + entries.tokens.generated);
        if let Some((first, later)) = times {
            self.observe(&self.first_token, &model, first);
            if let Some(later) = later {
                self.observe(&self.per_token, &model, later);
            }
        }
    }

    fn count_tokens(&self, model: &str, tokens: Tokens) {
        for (kind, count) in [
            (
                TokenKind::Prompt,
                tokens.prompt.saturating_sub(tokens.cached),
            ),
            (TokenKind::Cached, tokens.cached),
            (TokenKind::Generated, tokens.generated),
        ] {
            self.tokens
                .get_or_create(&TokenLabels {
                    model: model.to_owned(),
                    kind,
                })
                .inc_by(count);
        }
    }

    fn observe(
        &self,
        family: &Family<ModelLabels, Histogram, fn() -> Histogram>,
        model: &str,
        time: Duration,
    ) {
        family
            .get_or_create(&ModelLabels {
                model: model.to_owned(),
            })
            .observe(time.as_secs_f64());
    }

    /// The model's name, or `other` once there are too many.
    fn bounded(&self, model: &str) -> String {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(model) {
            return model.to_owned();
        }
        if models.len() == MOST_MODELS {
            return "other".to_owned();
        }
        models.insert(model.to_owned());
        model.to_owned()
    }

    /// Has somebody asked for what the loaded models do, whenever metrics are shown. The first one stays.
    pub fn watch(&self, look: impl Fn() -> Vec<Busy> + Send + Sync + 'static) {
        let _ = self.look.0.set(Box::new(look));
    }

    fn look(&self) {
        let Some(look) = self.look.0.get() else {
            return;
        };
        let models = look();
        let families = [
            &self.texts,
            &self.queue,
            &self.pages_used,
            &self.pages_kept,
            &self.pages_total,
        ];
        // Models that are gone have no figures.
        families.iter().for_each(|family| family.clear());
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.loaded_models.set(count(models.len()));
        for busy in &models {
            let labels = ModelLabels {
                model: self.bounded(&busy.model),
            };
            let figures = [
                busy.running,
                busy.waiting,
                busy.own_pages + busy.kept_pages,
                busy.kept_pages,
                busy.most_pages,
            ];
            for (family, figure) in families.iter().zip(figures) {
                family.get_or_create(&labels).inc_by(count(figure));
            }
        }
        let sum = |of: fn(&Busy) -> usize| models.iter().map(of).sum::<usize>() as u64;
        self.llama
            .requests(sum(|busy| busy.running), sum(|busy| busy.waiting));
    }

    /// All metrics as Prometheus' text form 0.0.4; [`CONTENT_TYPE`] goes with it.
    pub fn render(&self) -> String {
        self.look();
        text::render(&self.registry) + &self.llama.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_and_rendered() {
        let metrics = Metrics::new();
        let account = Account::default();
        account.model("m\"1");
        account.route("/api/chat");
        let begin = Instant::now();
        (0..3).for_each(|_| account.token());
        account.read(10, 4);
        metrics.ended("POST", 200, &account, begin, Instant::now());
        metrics.loaded_models.set(2);
        let text = metrics.render();
        for line in [
            "# TYPE hearth_requests_total counter",
            "# HELP hearth_requests_total Requests that ended.",
            "hearth_requests_total{method=\"POST\",route=\"/api/chat\",status=\"200\"} 1",
            "hearth_tokens_total{model=\"m\\\"1\",kind=\"prompt\"} 6",
            "hearth_tokens_total{model=\"m\\\"1\",kind=\"cached\"} 4",
            "hearth_tokens_total{model=\"m\\\"1\",kind=\"generated\"} 3",
            "hearth_time_to_first_token_seconds_count{model=\"m\\\"1\"} 1",
            "hearth_time_per_token_seconds_count{model=\"m\\\"1\"} 1",
            "# TYPE hearth_loaded_models gauge",
            "hearth_loaded_models 2",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("# EOF"));
    }

    #[test]
    fn models_are_bounded() {
        let metrics = Metrics::new();
        for number in 0..MOST_MODELS + 50 {
            let account = Account::default();
            account.model(&format!("m{number}"));
            metrics.ended("GET", 200, &account, Instant::now(), Instant::now());
        }
        let text = metrics.render();
        assert_eq!(text.matches("kind=\"prompt\"").count(), MOST_MODELS + 1);
        assert!(text.contains("model=\"other\""));
    }
}
