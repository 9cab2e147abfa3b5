//! The answer, for people and for programs.

use std::io::Write;

use anyhow::Result;
use hearth_engine::fit::{Memory, Plan, Verdict};
use serde_json::{Value, json};

use super::{Arguments, Other, Row, context, others, rows};
use crate::commands::show::{count, size};

/// Everything that `hearth fit` says.
pub(super) struct Report {
    model: String,
    parameters: u64,
    own_context: usize,
    asked: Option<usize>,
    available: usize,
    memory: Memory,
    verdict: Verdict,
    rows: Vec<Row>,
    /// The longest contexts that fit well, and at all.
    longest: (Option<usize>, Option<usize>),
    others: Vec<Other>,
    bandwidth: f64,
    /// Tokens per second at an empty and at a full context.
    speed: (f64, f64),
}

impl Report {
    /// Works everything out; `available` is in bytes, `bandwidth` in bytes per second.
    pub(super) fn new(
        arguments: &Arguments,
        plan: &Plan,
        exact: &Plan,
        available: usize,
        bandwidth: f64,
    ) -> Result<Self> {
        let own = plan.spec().context;
        let context = context(arguments, plan, available)?;
        let memory = plan.memory(context)?;
        let longest = |verdict| plan.longest(verdict, own, available);
        let speed = |position| bandwidth / plan.token_bytes(position).max(1) as f64;
        Ok(Self {
            model: arguments.model.clone(),
            parameters: plan.parameters(),
            own_context: own,
            asked: arguments.machine.ctx,
            available,
            verdict: Verdict::of(&memory, available),
            memory,
            rows: rows(plan, exact, context, available)?,
            longest: (longest(Verdict::Yes)?, longest(Verdict::Tight)?),
            others: others(plan, context, available, bandwidth)?,
            bandwidth,
            speed: (speed(0), speed(context)),
        })
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "context": row.memory.context,
                "cache_bytes": row.memory.cache,
                "cache_f32_bytes": row.exact_cache,
                "needed_bytes": row.memory.needed(),
                "verdict": row.verdict.name(),
            })
        });
        let others = self.others.iter().map(|other| {
            json!({
                "mixture": other.mixture.name,
                "bits_per_weight": other.mixture.bits,
                "weight_bytes": other.memory.weights,
                "needed_bytes": other.memory.needed(),
                "verdict": other.verdict.name(),
                "decode_tps": other.speed,
            })
        });
        json!({
            "model": self.model,
            "verdict": self.verdict.name(),
            "reason": self.reason(),
            "context": self.memory.context,
            "parameters": self.parameters,
            "available_bytes": Some(self.available).filter(|n| *n != usize::MAX),
            "needed_bytes": self.memory.needed(),
            "peak_bytes": self.memory.peak(),
            "parts": parts(&self.memory),
            "contexts": rows.collect::<Vec<_>>(),
            "model_context": self.own_context,
            "largest_context": self.longest.1,
            "largest_comfortable_context": self.longest.0,
            "mixtures": others.collect::<Vec<_>>(),
            "bandwidth_gbs": self.bandwidth / 1e9,
            "decode_tps_empty": self.speed.0,
            "decode_tps_full": self.speed.1,
        })
    }

    /// Why the verdict is what it is.
    fn reason(&self) -> String {
        let (context, own) = (self.memory.context, self.own_context);
        let needed = size(self.memory.needed() as u64);
        let free = match self.available {
            usize::MAX => "nobody knows how much".to_owned(),
            free => size(free as u64),
        };
        let text = match self.asked {
            Some(asked) => format!("a context of {asked} tokens"),
            None if context == own => format!("its whole context of {own} tokens"),
            None => format!("a context of {context} of its {own} tokens"),
        };
        let left = self.available.saturating_sub(self.memory.needed());
        match self.verdict {
            Verdict::Yes => format!("with {text} it needs {needed}, {free} are free"),
            Verdict::Tight if self.memory.needed() <= self.available => format!(
                "with {text} it needs {needed} of {free} that are free; with only {} left, other programs can push the weights out of memory, and every token would wait for the disk",
                size(left as u64)
            ),
            Verdict::Tight => format!(
                "with {text} it needs {needed}, {free} are free; what every token reads fits, seldom chosen experts are read from the disk again"
            ),
            Verdict::No => {
                let next = match self.longest.1 {
                    Some(longest) => {
                        format!("a context of {longest} tokens fits (--ctx {longest})")
                    }
                    None => "no context fits".to_owned(),
                };
                format!("with {text} it needs {needed}, only {free} are free; {next}")
            }
        }
    }

    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        let bytes = |n: usize| size(n as u64);
        writeln!(out, "{}: {}", self.verdict.name(), self.reason())?;
        writeln!(out)?;
        let m = &self.memory;
        for (name, value, note) in [
            ("weights", m.weights, "mapped from the files"),
            ("cache", m.cache, "keys and values"),
            ("workspace", m.workspace, "activations and scratch"),
            (
                "overhead",
                m.vectors + m.sampling + m.threads,
                "norms, logits, threads",
            ),
            ("needed", m.needed(), "beside what is running"),
            ("program", m.program, "without the model"),
            ("vocabulary", m.vocabulary, ""),
            ("peak", m.peak(), "of the whole process"),
        ] {
            writeln!(out, "{name:<12}{:>12}  {note}", bytes(value))?;
        }
        self.print_contexts(out)?;
        self.print_mixtures(out)?;
        writeln!(out)?;
        let (empty, full) = self.speed;
        writeln!(
            out,
            "decode      up to {empty:.1} tokens/s, {full:.1} with the context full: memory reads {:.1} GB/s here,\n            and every token reads the weights and the cache",
            self.bandwidth / 1e9
        )?;
        Ok(())
    }

    fn print_contexts(&self, out: &mut impl Write) -> Result<()> {
        let bytes = |n: usize| size(n as u64);
        writeln!(
            out,
            "\n{:>9}{:>14}{:>14}{:>14}  fits",
            "context", "cache", "cache in F32", "needed"
        )?;
        for row in &self.rows {
            writeln!(
                out,
                "{:>9}{:>14}{:>14}{:>14}  {}",
                row.memory.context,
                bytes(row.memory.cache),
                bytes(row.exact_cache),
                bytes(row.memory.needed()),
                row.verdict.name()
            )?;
        }
        let longest = match self.longest {
            (Some(well), Some(all)) if well == all => format!("{well} tokens"),
            (Some(well), Some(all)) => format!("{well} tokens, {all} tightly"),
            (None, Some(all)) => format!("{all} tokens, tightly"),
            (_, None) => "none".to_owned(),
        };
        writeln!(out, "largest context that fits: {longest}")?;
        Ok(())
    }

    fn print_mixtures(&self, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "\nThe same {} parameters in other mixtures, about, with a context of {}:",
            count(self.parameters),
            self.memory.context
        )?;
        for other in &self.others {
            writeln!(
                out,
                "{:>9}{:>14}{:>14}  {:<6}up to {:.1} tokens/s",
                other.mixture.name,
                size(other.memory.weights as u64),
                size(other.memory.needed() as u64),
                other.verdict.name(),
                other.speed
            )?;
        }
        Ok(())
    }
}

/// The parts of a prediction.
pub(super) fn parts(memory: &Memory) -> Value {
    json!({
        "program_bytes": memory.program,
        "code_bytes": memory.code,
        "vocabulary_bytes": memory.vocabulary,
        "weight_bytes": memory.weights,
        "weight_bytes_per_token": memory.weights_per_token,
        "vector_bytes": memory.vectors,
        "cache_bytes": memory.cache,
        "workspace_bytes": memory.workspace,
        "sampling_bytes": memory.sampling,
        "thread_bytes": memory.threads,
        "counted_twice_bytes": memory.counted_twice,
    })
}
