//! The metrics under the names that dashboards for llama-server look for.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one step or one request adds. Counts are of tokens unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Read from prompts and computed.
    pub prompt_tokens: u64,
    /// Of prompts, and known already.
    pub cached_tokens: u64,
    /// Time for reading prompts.
    pub prompt_time: Duration,
    /// Generated.
    pub generated_tokens: u64,
    /// Time for generating.
    pub generated_time: Duration,
    /// Steps of the engine.
    pub steps: u64,
    /// Sequences in those steps, all together.
    pub sequences: u64,
    /// Drafted.
    pub drafted_tokens: u64,
    /// Drafted, and taken.
    pub accepted_tokens: u64,
    /// Drafts.
    pub drafts: u64,
}

#[derive(Debug, Default)]
struct State {
    all: Tally,
    /// Since somebody last asked.
    window: Tally,
    most_tokens: u64,
    running: u64,
    waiting: u64,
}

/// What llama-server measures, for all models together.
#[derive(Debug, Default)]
pub struct LlamaMetrics(Mutex<State>);

impl Tally {
    fn add(&mut self, more: &Self) {
        self.prompt_tokens += more.prompt_tokens;
        self.cached_tokens += more.cached_tokens;
        self.prompt_time += more.prompt_time;
        self.generated_tokens += more.generated_tokens;
        self.generated_time += more.generated_time;
        self.steps += more.steps;
        self.sequences += more.sequences;
        self.drafted_tokens += more.drafted_tokens;
        self.accepted_tokens += more.accepted_tokens;
        self.drafts += more.drafts;
    }
}

fn rate(count: u64, per: f64) -> f64 {
    if per > 0.0 { count as f64 / per } else { 0.0 }
}

impl LlamaMetrics {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was done.
    pub fn add(&self, more: &Tally) {
        let mut state = self.state();
        state.all.add(more);
        state.window.add(more);
    }

    /// A sequence has so many tokens.
    pub fn sequence_length(&self, tokens: u64) {
        let mut state = self.state();
        state.most_tokens = state.most_tokens.max(tokens);
    }

    /// Requests that run and that wait, now.
    pub fn requests(&self, running: u64, waiting: u64) {
        let mut state = self.state();
        (state.running, state.waiting) = (running, waiting);
    }

    /// Prometheus' text form. Rates are means since the last call, which is what `llamacpp:*_seconds` gauges are.
    pub fn render(&self) -> String {
        let mut state = self.state();
        let window = std::mem::take(&mut state.window);
        let all = state.all;
        let rows: [(&str, &str, &str, f64); 15] = [
            (
                "prompt_tokens_total",
                "counter",
                "Tokens of prompts that were computed",
                all.prompt_tokens as f64,
            ),
            (
                "prompt_tokens_cached_total",
                "counter",
                "Tokens of prompts that were known",
                all.cached_tokens as f64,
            ),
            (
                "prompt_seconds_total",
                "counter",
                "Time for prompts",
                all.prompt_time.as_secs_f64(),
            ),
            (
                "tokens_predicted_total",
                "counter",
                "Tokens generated",
                all.generated_tokens as f64,
            ),
            (
                "tokens_predicted_seconds_total",
                "counter",
                "Time for generating",
                all.generated_time.as_secs_f64(),
            ),
            (
                "n_decode_total",
                "counter",
                "Steps of the engine",
                all.steps as f64,
            ),
            (
                "n_tokens_max",
                "counter",
                "Tokens of the longest sequence",
                state.most_tokens as f64,
            ),
            (
                "spec_decode_num_draft_tokens_total",
                "counter",
                "Tokens drafted",
                all.drafted_tokens as f64,
            ),
            (
                "spec_decode_num_accepted_tokens_total",
                "counter",
                "Drafted tokens taken",
                all.accepted_tokens as f64,
            ),
            (
                "spec_decode_num_drafts_total",
                "counter",
                "Drafts",
                all.drafts as f64,
            ),
            (
                "prompt_tokens_seconds",
                "gauge",
                "Prompt tokens per second",
                rate(window.prompt_tokens, window.prompt_time.as_secs_f64()),
            ),
            (
                "predicted_tokens_seconds",
                "gauge",
                "Generated tokens per second",
                rate(window.generated_tokens, window.generated_time.as_secs_f64()),
            ),
            (
                "requests_processing",
                "gauge",
                "Requests that run",
                state.running as f64,
            ),
            (
                "requests_deferred",
                "gauge",
                "Requests that wait",
                state.waiting as f64,
            ),
            (
                "n_busy_slots_per_decode",
                "gauge",
                "Sequences per step",
                rate(window.sequences, window.steps as f64),
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in rows {
            write!(text, "# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n")
                .expect("writing to a String does not fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_and_rates_are_of_the_window() {
        let metrics = LlamaMetrics::default();
        let step = Tally {
            prompt_tokens: 100,
            cached_tokens: 7,
            prompt_time: Duration::from_millis(500),
            generated_tokens: 10,
            generated_time: Duration::from_secs(2),
            steps: 5,
            sequences: 10,
            ..Tally::default()
        };
        metrics.add(&step);
        metrics.sequence_length(50);
        metrics.sequence_length(40);
        metrics.requests(2, 3);
        let text = metrics.render();
        for line in [
            "llamacpp:prompt_tokens_total 100",
            "llamacpp:prompt_tokens_seconds 200",
            "llamacpp:predicted_tokens_seconds 5",
            "llamacpp:n_busy_slots_per_decode 2",
            "llamacpp:n_tokens_max 50",
            "llamacpp:requests_deferred 3",
            "# TYPE llamacpp:requests_processing gauge",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        let text = metrics.render();
        assert!(text.contains("llamacpp:prompt_tokens_total 100\n"));
        assert!(text.contains("llamacpp:prompt_tokens_seconds 0\n"));
    }
}
