//! Runs requests for vectors, scores and classes: in parts, so that texts under way go on beside them, and so that a caller
//! who goes away stops the work at the next part.

use std::time::{Duration, Instant};

use hearth_engine::{Engine, Error, Normalization, Ranked as Scored, normalize};
use hearth_model::Pooling;
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use tokio::sync::oneshot;

use super::{
    Classified, Embedded, Embedding, Failure, Ranked, Ranking, Service,
    models::{Lease, blocking},
    request::{Load, Piece},
    service::failure,
};

/// Tokens of a part, unless one text alone has more: what the engine reads in one step.
const PART: usize = 2048;
/// Documents of a part: what a query and a document come to is only known when they are read.
const DOCUMENTS: usize = 16;

impl Service {
    /// Loads a model and reads its weights, so that the first answer need not wait for the disk.
    ///
    /// # Errors
    /// When the model cannot be loaded, or too many wait.
    pub async fn warm_up(&self, name: &str, load: &Load) -> Result<(), Failure> {
        let model = self.models().acquire(name, load).await?;
        run(&model, Engine::warm_up).await
    }

    /// Turns texts into vectors. Without inputs the model is only loaded.
    ///
    /// # Errors
    /// When the model cannot be loaded or makes no vectors, a text is empty or too long, or too many wait.
    pub async fn embed(&self, asked: Embedding) -> Result<Embedded, Failure> {
        let begun = Instant::now();
        let model = self.models().acquire(&asked.model, &asked.load).await?;
        let load = begun.elapsed();
        let own = model.engine().model().spec().pooling();
        let pooling = asked.pooling.unwrap_or(own);
        if pooling == Pooling::Rank {
            return Err(unsupported(&model, "embed"));
        }
        let texts = read(&model, asked.inputs, asked.truncate).await?;
        let mut vectors = Vec::with_capacity(texts.ids.len());
        for part in parts(texts.ids) {
            let work = move |engine: &Engine| engine.embed(&part, Some(pooling));
            vectors.extend(run(&model, work).await?);
        }
        for vector in &mut vectors {
            if pooling != Pooling::None {
                vector.truncate(asked.dimensions.unwrap_or(usize::MAX));
            }
            if !asked.raw {
                normalize(vector, Normalization::Power(2));
            }
        }
        Ok(Embedded {
            model: model.title().to_owned(),
            vectors,
            tokens: texts.tokens,
            truncated: texts.truncated,
            load,
            total: begun.elapsed(),
            warnings: texts.warnings,
        })
    }

    /// Scores documents by how well they answer a query.
    ///
    /// # Errors
    /// As [`Self::embed`]; when the model is no reranker.
    pub async fn rerank(&self, asked: Ranking) -> Result<Ranked, Failure> {
        let model = self.models().acquire(&asked.model, &asked.load).await?;
        if !model.engine().capabilities().rerank {
            return Err(unsupported(&model, "rerank"));
        }
        let mut ranked = Ranked {
            model: model.title().to_owned(),
            ..Ranked::default()
        };
        let mut documents = asked.documents;
        while !documents.is_empty() {
            let rest = documents.split_off(documents.len().min(DOCUMENTS));
            let (query, part) = (asked.query.clone(), documents);
            let work = move |engine: &Engine| {
                let part: Vec<&str> = part.iter().map(String::as_str).collect();
                engine.rerank(&query, &part)
            };
            let Scored { scores, tokens } = run(&model, work).await?;
            ranked.scores.extend(scores);
            ranked.tokens += tokens;
            documents = rest;
        }
        Ok(ranked)
    }

    /// Tells the classes of texts.
    ///
    /// # Errors
    /// As [`Self::embed`]; when the model has no classes.
    pub async fn classify(
        &self,
        model: &str,
        load: &Load,
        inputs: Vec<Piece>,
    ) -> Result<Classified, Failure> {
        let model = self.models().acquire(model, load).await?;
        let Ok(labels) = model.engine().labels() else {
            return Err(unsupported(&model, "classify"));
        };
        let texts = read(&model, inputs, false).await?;
        let mut scores = Vec::with_capacity(texts.ids.len());
        for part in parts(texts.ids) {
            let work = move |engine: &Engine| engine.embed(&part, Some(Pooling::Rank));
            scores.extend(run(&model, work).await?);
        }
        Ok(Classified {
            model: model.title().to_owned(),
            labels,
            scores,
            tokens: texts.tokens,
        })
    }
}

fn unsupported(model: &Lease, capability: &'static str) -> Failure {
    Failure::Unsupported {
        model: model.title().to_owned(),
        capability,
    }
}

/// Has something computed between two steps of the model's loop, unless nobody waits for it any more.
async fn run<T: Send + 'static>(
    model: &Lease,
    work: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let (to, made) = oneshot::channel();
    let task = move |engine: &Engine| {
        if !to.is_closed() {
            // A receiver that is gone since needs nothing.
            let _ = to.send(work(engine));
        }
    };
    model.runner.run(task).map_err(|_| Failure::Busy {
        retry_after: Duration::from_secs(1),
    })?;
    match made.await {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(Error::Model(hearth_model::Error::Length { tokens, context }))) => {
            Err(Failure::Context {
                prompt: tokens,
                context,
            })
        }
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(failure(&Error::Broken)),
    }
}

/// Texts as tokens.
#[derive(Default)]
struct Texts {
    ids: Vec<Vec<u32>>,
    tokens: usize,
    truncated: usize,
    warnings: Vec<String>,
}

async fn read(model: &Lease, inputs: Vec<Piece>, truncate: bool) -> Result<Texts, Failure> {
    let model = model.clone();
    blocking(move || {
        let engine = model.engine();
        let (tokenizer, context) = (engine.tokenizer(), engine.context());
        let vocab = engine.model().spec().vocab;
        let after = after(tokenizer);
        let mut texts = Texts::default();
        for (index, input) in inputs.into_iter().enumerate() {
            let mut ids = match input {
                Piece::Text(text) => encode(tokenizer, &text),
                Piece::Tokens(ids) => ids,
            };
            if ids.is_empty() {
                let message = format!("input[{index}] has no tokens: leave it out");
                return Err(Failure::invalid("input", message));
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
                let message =
                    format!("input[{index}] has token {id}: this model's are below {vocab}");
                return Err(Failure::invalid("input", message));
            }
            if ids.len() > context {
                if !truncate {
                    let prompt = ids.len();
                    return Err(Failure::Context { prompt, context });
                }
                texts.truncated += 1;
                texts.warnings.push(format!(
                    "input[{index}] has {} tokens and was cut to the {context} that the model reads",
                    ids.len()
                ));
                cut(&mut ids, context, &after);
            }
            texts.tokens += ids.len();
            texts.ids.push(ids);
        }
        Ok(texts)
    })
    .await?
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    tokenizer.encode(text, options)
}

/// The tokens that the vocabulary puts behind a text.
fn after(tokenizer: &Tokenizer) -> Vec<u32> {
    let around = encode(tokenizer, "");
    around[usize::from(tokenizer.add_bos()).min(around.len())..].to_vec()
}

/// Cuts a text from its end, and lets it end as texts do.
fn cut(ids: &mut Vec<u32>, length: usize, after: &[u32]) {
    let ends = ids.ends_with(after) && after.len() < length;
    ids.truncate(length);
    if ends {
        let end = length - after.len();
        ids[end..].copy_from_slice(after);
    }
}

/// Neighbours that together have at most [`PART`] tokens, or one text that alone has more.
fn parts(texts: Vec<Vec<u32>>) -> impl Iterator<Item = Vec<Vec<u32>>> {
    let mut texts = texts.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut part = vec![texts.next()?];
        let mut tokens = part[0].len();
        while let Some(next) = texts.next_if(|next| tokens + next.len() <= PART) {
            tokens += next.len();
            part.push(next);
        }
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_full_and_miss_nothing() {
        for (lengths, want) in [
            (vec![], vec![]),
            (vec![1, 2], vec![2]),
            (vec![PART, 1], vec![1, 1]),
            (vec![5000, 1, 2], vec![1, 2]),
            (vec![1024, 1024, 1], vec![2, 1]),
        ] {
            let texts: Vec<Vec<u32>> = lengths.iter().map(|n| vec![0; *n]).collect();
            let got: Vec<usize> = parts(texts).map(|part| part.len()).collect();
            assert_eq!(got, want, "{lengths:?}");
        }
    }

    #[test]
    fn what_is_cut_still_ends() {
        for (ids, length, after, want) in [
            (vec![2, 7, 8, 9, 3], 4, vec![3], vec![2, 7, 8, 3]),
            (vec![7, 8, 9], 2, vec![], vec![7, 8]),
            (vec![7, 8, 9], 2, vec![3], vec![7, 8]),
            (vec![7, 3], 1, vec![3], vec![7]),
        ] {
            let mut ids = ids;
            cut(&mut ids, length, &after);
            assert_eq!(ids, want);
        }
    }
}
