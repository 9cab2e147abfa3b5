//! Runs requests: finds and loads the model, makes the prompt, puts it in line, reads the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hearth_chat::output::{self, Parser};
use hearth_engine::{
    Error, Finish as Ended,
    scheduler::{Class as Place, Flow, Job, Report, Sink, Update},
};
use tokio::sync::mpsc;

use super::{
    Event, Failure, Finish, Outcome, Piece, Request, Started, Timing, Token,
    guide::{Guided, guide},
    models::{Lease, Models, blocking},
    prepare::{self, Prepared, Reading},
    request::Class,
};

/// Events that wait to be sent: a client that reads slower holds up its own text and nothing else.
const WAITING: usize = 64;
/// Those that one step can add.
const RESERVE: usize = 8;

/// An answer that is being made. Dropping it stops the work.
pub struct Generation {
    /// What becomes of it.
    pub events: mpsc::Receiver<Event>,
    /// The model.
    pub model: Lease,
    /// What was ignored or understood otherwise, in words, as the first event tells too.
    pub warnings: Vec<String>,
}

/// Answers requests with the models of a library.
#[derive(Clone)]
pub struct Service {
    models: Arc<Models>,
}

impl Service {
    /// On these models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models }
    }

    /// The models.
    pub fn models(&self) -> &Arc<Models> {
        &self.models
    }

    /// Begins an answer. `client` is who asks: clients get equal shares.
    ///
    /// # Errors
    /// When it cannot be begun; later failures are the last event.
    pub async fn generate(&self, request: Request, client: u64) -> Result<Generation, Failure> {
        let asked = Instant::now();
        let model = self.models.acquire(&request.model, &request.load).await?;
        let load = asked.elapsed();
        let choices = request.choices.max(1);
        let prepared = self.prepared(&model, request).await?;
        let Ready {
            prepared,
            request,
            terms,
        } = prepared;
        let (to, events) = mpsc::channel(WAITING + RESERVE * choices);
        let left = Arc::new(AtomicUsize::new(choices));
        let Prepared {
            prompt,
            ids,
            reading,
            dropped_messages,
            warnings,
        } = prepared;
        let told = warnings.clone();
        let mut started = Some(Started {
            model: model.title().to_owned(),
            prompt_tokens: ids.len(),
            cached_tokens: 0,
            context: model.engine().context(),
            dropped_messages,
            load,
            warnings,
            prompt: prompt.clone(),
        });
        for (choice, terms) in terms.into_iter().enumerate() {
            let told = Told {
                to: to.clone(),
                choice,
                left: Arc::clone(&left),
                started: started.take(),
                reader: Reader::new(reading.as_ref(), &prompt),
                progress: request.progress,
                begun: Instant::now(),
                asked,
                cached: 0,
                reasoning: 0,
                ids: if request.ids { ids.clone() } else { Vec::new() },
                keep_ids: request.ids,
                model: model.clone(),
            };
            let job = Job {
                prompt: ids.clone(),
                terms,
                shift: request.overflow.shift.then_some(request.overflow.keep),
                class: match request.class {
                    Class::Interactive => Place::Interactive,
                    Class::Batch => Place::Batch,
                },
                client,
                sink: Box::new(told),
            };
            // Those that were taken already notice that nobody listens.
            model.runner.submit(job).map_err(|_| Failure::Busy {
                retry_after: Duration::from_secs(1),
            })?;
        }
        Ok(Generation {
            events,
            model,
            warnings: told,
        })
    }

    /// The prompt of a request, and its tokens.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub async fn render(&self, request: Request) -> Result<(Prepared, Lease), Failure> {
        let model = self.models.acquire(&request.model, &request.load).await?;
        let lease = model.clone();
        let prepared = blocking(move || prepare::prepare(&lease, &request)).await??;
        Ok((prepared, model))
    }

    async fn prepared(&self, model: &Lease, request: Request) -> Result<Ready, Failure> {
        let model = model.clone();
        let work = move || {
            let mut prepared = prepare::prepare(&model, &request)?;
            let mut terms = Vec::new();
            for choice in 0..request.choices.max(1) {
                let reading = prepared.reading.as_ref();
                let mut one = prepare::terms(&model, &request, reading, choice)?;
                let Guided { guide, warnings } = guide(&model, &request, &prepared)?;
                one.guide = guide;
                terms.push(one);
                if choice == 0 {
                    prepared.warnings.extend(warnings);
                }
            }
            Ok(Ready {
                prepared,
                request,
                terms,
            })
        };
        blocking(work).await?
    }
}

struct Ready {
    prepared: Prepared,
    request: Request,
    terms: Vec<hearth_engine::Terms>,
}

/// Reads the text of an answer.
struct Reader {
    parser: Option<Parser>,
    format: Option<output::Format>,
    calls: usize,
}

impl Reader {
    fn new(reading: Option<&Reading>, prompt: &str) -> Self {
        let parser = |reading: &Reading| {
            let options = output::Options {
                tools: &reading.tools,
                reasoning: reading.reasoning,
                prompt,
                prefill: &reading.prefill,
                parallel: reading.parallel,
            };
            Parser::new(&reading.format, options)
        };
        Self {
            parser: reading.map(parser),
            format: reading.map(|reading| reading.format.clone()),
            calls: 0,
        }
    }

    fn push(&mut self, text: String) -> Vec<Piece> {
        match &mut self.parser {
            Some(parser) => {
                let pieces = parser.push(&text);
                self.pieces(pieces)
            }
            None if text.is_empty() => Vec::new(),
            None => vec![Piece::Content(text)],
        }
    }

    fn finish(&mut self) -> Vec<Piece> {
        let pieces = self.parser.take().map(Parser::finish).unwrap_or_default();
        self.pieces(pieces)
    }

    fn pieces(&mut self, pieces: Vec<output::Piece>) -> Vec<Piece> {
        pieces.into_iter().map(|piece| self.piece(piece)).collect()
    }

    fn piece(&mut self, piece: output::Piece) -> Piece {
        match piece {
            output::Piece::Reasoning(text) => Piece::Reasoning(text),
            output::Piece::Content(text) => Piece::Content(text),
            output::Piece::Arguments { index, text } => Piece::Arguments { index, text },
            output::Piece::Call { index, id, name } => {
                self.calls += 1;
                let made = || {
                    let chance = prepare::random_seed();
                    let text = format!("{name} {chance}");
                    self.format
                        .as_ref()
                        .map(|format| format.invent_id(index, &text))
                        .unwrap_or_default()
                };
                let id = id.unwrap_or_else(made);
                Piece::Call { index, id, name }
            }
        }
    }
}

/// Turns what the loop tells into events.
struct Told {
    to: mpsc::Sender<Event>,
    choice: usize,
    left: Arc<AtomicUsize>,
    started: Option<Started>,
    reader: Reader,
    progress: bool,
    begun: Instant,
    asked: Instant,
    cached: usize,
    reasoning: usize,
    /// All tokens so far, where they were asked for.
    ids: Vec<u32>,
    keep_ids: bool,
    /// The model stays as long as the loop knows of this.
    model: Lease,
}

impl Told {
    fn give(&self, event: Event) {
        // There is room, or nobody listens any more.
        let _ = self.to.try_send(event);
    }

    fn delta(&mut self, pieces: Vec<Piece>, tokens: Vec<Token>) {
        if pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Reasoning(_)))
        {
            self.reasoning += tokens.len();
        }
        if !pieces.is_empty() || !tokens.is_empty() {
            let choice = self.choice;
            self.give(Event::Delta {
                choice,
                pieces,
                tokens,
            });
        }
    }

    fn token(&mut self, token: hearth_engine::Token) {
        if self.keep_ids {
            self.ids.push(token.id);
        }
        let tokenizer = self.model.engine().tokenizer();
        let bytes = |id: u32| tokenizer.token_bytes(id).to_vec();
        let seen = Token {
            id: token.id,
            bytes: bytes(token.id),
            logprob: token.logprob,
            top: token
                .top
                .iter()
                .map(|&(id, share)| (id, bytes(id), share))
                .collect(),
        };
        let pieces = self.reader.push(token.text);
        self.delta(pieces, vec![seen]);
    }

    fn done(&mut self, report: Report) {
        let mut pieces = self.reader.push(report.text);
        pieces.extend(self.reader.finish());
        self.delta(pieces, Vec::new());
        let outcome = Outcome {
            finish: match report.finish {
                Ended::End => Finish::End,
                Ended::Stop(text) => Finish::Stop(text),
                Ended::Length => Finish::Length,
                Ended::Context => Finish::Context,
                Ended::Cancelled => Finish::Cancelled,
            },
            tokens: report.generated,
            reasoning_tokens: self.reasoning,
            dropped_tokens: report.dropped,
            ids: std::mem::take(&mut self.ids),
            timing: Timing {
                queue: report.waited,
                prefill: report.prefill,
                decode: report.decode,
                total: self.asked.elapsed(),
            },
        };
        let choice = self.choice;
        self.give(Event::End { choice, outcome });
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.give(Event::Done);
        }
    }
}

impl Sink for Told {
    fn send(&mut self, update: Update) {
        match update {
            Update::Started { cached, .. } => {
                self.cached = cached;
                self.begun = Instant::now();
                if let Some(started) = self.started.take() {
                    self.give(Event::Started(Started {
                        cached_tokens: cached,
                        ..started
                    }));
                }
            }
            Update::Read { done, total } if self.progress && self.choice == 0 => {
                self.give(Event::Read {
                    done,
                    total,
                    cached: self.cached,
                    time: self.begun.elapsed(),
                })
            }
            Update::Read { .. } => {}
            Update::Token(token) => self.token(token),
            Update::Done(report) => self.done(report),
            Update::Failed(error) => self.give(Event::Failed(failure(&error))),
        }
    }

    fn flow(&self) -> Flow {
        if self.to.is_closed() {
            Flow::Gone
        } else if self.to.capacity() < RESERVE {
            Flow::Wait
        } else {
            Flow::Go
        }
    }
}

/// The engine's words for a client.
pub(crate) fn failure(error: &Error) -> Failure {
    match *error {
        Error::Prompt { prompt, context } => Failure::Context { prompt, context },
        Error::EmptyPrompt => Failure::invalid("prompt", error.to_string()),
        Error::Token { .. } => Failure::invalid("prompt", error.to_string()),
        Error::Stopped => Failure::Cancelled,
        _ => Failure::Internal(error.to_string()),
    }
}
