//! Continuous batching: one loop that gives every text its share of each step.
//!
//! A step is a list of (text, tokens): one token of each text that generates, and pieces of the prompts that are read.
//! Weights are read once for all of them. A text joins at the next step and leaves when it ends; nobody waits for
//! another's end. Texts that somebody waits for come first: while one of them reads its prompt, work that nobody waits
//! for rests, and a step of such work is given up between two layers when a chat arrives.

mod disk;
mod job;
mod live;
mod masks;
mod plan;
mod queue;
mod runner;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use hearth_compute::{Backend, Cpu};
use hearth_model::{Logits, Run, STATES, Workspace};

pub use job::{Class, Flow, Job, Report, Sink, Update};
pub use runner::{Full, Runner, Status};

use crate::{
    Engine, Error, Finish, Result,
    prefix::{Prefixes, common},
    spill::{Coming, Disk, Key, Spill},
};
use live::{Live, Next};
use masks::Masks;
use plan::{Pace, Share};
use queue::Queue;

/// Pages that recurrent states weigh as much as at most, however little a page takes.
const STATE_PAGES: usize = 64;

/// The limits of a scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// Texts that generate at a time.
    pub parallel: usize,
    /// Jobs that wait for a place; more are refused.
    pub queue: usize,
    /// Bytes of keys and values, of running texts and kept prefixes together. One text of a whole context always fits.
    pub cache_bytes: usize,
    /// Tells the model's weights from all others, for pages in files; without it there are none.
    pub model: Option<[u8; 32]>,
    /// Where prefixes go that outlive the process; none keeps them in memory alone.
    pub disk: Option<Disk>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            parallel: 64,
            queue: 512,
            cache_bytes: usize::MAX,
            model: None,
            disk: None,
        }
    }
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Steps.
    pub steps: u64,
    /// Steps that were given up for somebody who waits.
    pub abandoned: u64,
    /// Texts in all steps together.
    pub texts: u64,
    /// Tokens of prompts that were read.
    pub read: u64,
    /// Tokens of prompts that were cached.
    pub cached: u64,
    /// Tokens that were read from the disk.
    pub restored: u64,
    /// Tokens that were generated.
    pub generated: u64,
    /// Jobs that failed.
    pub failed: u64,
}

/// The loop's state, one step at a time.
pub struct Scheduler<'e> {
    engine: &'e Engine,
    config: Config,
    page: usize,
    pages: usize,
    /// Pages that a text's recurrent states weigh as much as.
    states: usize,
    live: Vec<Live<'e>>,
    queue: Queue<'e>,
    /// What all pages of the model come after.
    pub(crate) root: Key,
    pub(crate) prefixes: Prefixes<Cpu>,
    pub(crate) spill: Option<Spill>,
    work: Workspace<Cpu>,
    masks: Masks,
    pace: Pace,
    totals: Totals,
    /// In tests: what stands in for the model's step.
    step: StepFunction,
}

type StepFunction = fn(
    &Engine,
    &mut Workspace<Cpu>,
    &mut [Run<'_, Cpu>],
    &dyn Fn() -> bool,
) -> Result<Option<Vec<Vec<f32>>>>;

fn model_step(
    engine: &Engine,
    work: &mut Workspace<Cpu>,
    runs: &mut [Run<'_, Cpu>],
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Vec<f32>>>> {
    Ok(engine.model().step_while(work, runs, go_on)?)
}

impl<'e> Scheduler<'e> {
    /// With nothing to do.
    pub fn new(engine: &'e Engine, config: Config) -> Self {
        let page = engine.model().backend().page_len();
        let states = engine.model().recurrent_bytes();
        // Tokens and their place in the tree take a little too where caches take nothing.
        let per_page = engine.model().state_bytes(page);
        let per_page = per_page.max(states.div_ceil(STATE_PAGES)).max(1);
        let states = states.div_ceil(per_page);
        let least = engine.context().div_ceil(page) + 1 + (STATES + 1) * states;
        let root = config.model.map(|model| Key::root(engine, &model));
        let disk = config.disk.as_ref().zip(root);
        let spill = disk.and_then(|(disk, root)| Spill::open(engine, disk, root));
        let root = root.unwrap_or_default();
        Self {
            engine,
            page,
            pages: (config.cache_bytes / per_page).max(least),
            states,
            config,
            live: Vec::new(),
            queue: Queue::new(),
            root,
            prefixes: Prefixes::new(page, states, root),
            spill,
            work: Workspace::default(),
            masks: Masks::default(),
            pace: Pace::default(),
            totals: Totals::default(),
            step: model_step,
        }
    }

    /// Puts a job in line. One that cannot be run is told so at once.
    pub fn submit(&mut self, job: Job) {
        match Live::new(self.engine, job, Instant::now()) {
            Ok(live) => self.queue.push(live),
            Err((error, mut sink)) => {
                self.totals.failed += 1;
                sink.send(Update::Failed(error));
            }
        }
    }

    /// The model.
    pub fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty() && self.queue.len() == 0
    }

    /// What was done.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Pages of running texts that are theirs alone, pages of kept prefixes, and pages that there may be.
    pub fn pages(&self) -> (usize, usize, usize) {
        let own = self.live.iter().map(|live| self.own_pages(live, 0)).sum();
        (own, self.prefixes.len(), self.pages)
    }

    /// Running and waiting texts.
    pub fn texts(&self) -> (usize, usize) {
        (self.live.len(), self.queue.len())
    }

    /// Does one step. False where nothing could be done: there is nothing, or all who are told have enough for now.
    /// `urgent` says that somebody came who waits; a step of other work is given up then.
    pub fn step(&mut self, urgent: &dyn Fn() -> bool) -> bool {
        self.drop_gone();
        self.arrive();
        self.admit();
        let shares = plan::shares(&self.live, &self.pace, self.page);
        if shares.is_empty() {
            return self.wait_for_disk();
        }
        self.make_room(&shares);
        let shares = plan::shares(&self.live, &self.pace, self.page);
        self.run(&shares, urgent);
        true
    }

    /// Ends everything that is there, in line or under way.
    pub fn cancel_all(&mut self) {
        let waiting = self.queue.drop_gone(|_| true);
        for live in waiting.into_iter().chain(std::mem::take(&mut self.live)) {
            self.leave(live).done(Finish::Cancelled, String::new());
        }
    }

    /// After a panic of the loop itself: what was under way fails, what waits stays in line, nothing cached is trusted.
    pub fn recover(&mut self) {
        for live in std::mem::take(&mut self.live) {
            self.totals.failed += 1;
            live.failed(Error::Broken);
        }
        self.prefixes = Prefixes::new(self.page, self.states, self.root);
        self.work = Workspace::default();
        self.masks = Masks::default();
    }

    fn drop_gone(&mut self) {
        let gone = |live: &Live<'_>| live.flow() == Flow::Gone;
        drop(self.queue.drop_gone(gone));
        let mut index = 0;
        while index < self.live.len() {
            if gone(&self.live[index]) {
                let live = self.live.swap_remove(index);
                self.leave(live).done(Finish::Cancelled, String::new());
            } else {
                index += 1;
            }
        }
        self.queue.forget(&self.live);
    }

    /// Gives places to those next in line.
    fn admit(&mut self) {
        for class in [Class::Interactive, Class::Batch] {
            loop {
                let full = self.live.len() >= self.config.parallel.max(1);
                let batch = self
                    .live
                    .iter()
                    .rposition(|live| live.class == Class::Batch);
                if full && (class == Class::Batch || batch.is_none()) {
                    break;
                }
                let Some(next) = self.next(class) else {
                    break;
                };
                let needed = next.tokens.len().div_ceil(self.page) + 1 + STATES * self.states;
                if !self.live.is_empty() && needed > self.free_pages() {
                    self.queue.push_front(next);
                    break;
                }
                if let (true, Some(index)) = (full, batch) {
                    self.park(index);
                }
                self.enter(next);
            }
        }
    }

    /// The next in line. A text that begins as one that is being read now waits for it, to share what it reads.
    fn next(&mut self, class: Class) -> Option<Live<'e>> {
        let (live, prefixes, page) = (&self.live, &self.prefixes, self.page);
        self.queue.next(class, |job| {
            let shared = |other: &Live<'_>| common(&other.tokens, &job.tokens);
            let readers = live
                .iter()
                .filter(|other| other.reads() && other.class <= job.class);
            !readers.into_iter().any(|other| {
                let reach = shared(other).min(other.tokens.len()) / page * page;
                reach > other.state.len() && reach > prefixes.matched(&job.tokens)
            })
        })
    }

    fn enter(&mut self, mut live: Live<'e>) {
        self.attach(&mut live);
        live.coming = self.fetch(&live);
        if live.coming.is_none() {
            self.begin(&mut live);
        }
        self.live.push(live);
        self.shrink();
    }

    /// Gives a text what there is of it.
    fn attach(&mut self, live: &mut Live<'e>) {
        let empty = self.engine.model().state();
        let backend = self.engine.model().backend();
        let found = self.prefixes.take(backend, &live.tokens, empty);
        self.prefixes.pin(found.node);
        self.prefixes.unpin(live.shared.0);
        live.shared = (found.node, found.pages);
        live.state = found.state;
    }

    fn begin(&mut self, live: &mut Live<'e>) {
        self.totals.cached += live.state.len() as u64;
        live.begin();
    }

    /// Takes a text's place away; what it has is kept as long as there is room.
    fn park(&mut self, index: usize) {
        let live = self.live.remove(index);
        let mut live = self.leave(live);
        live.state = self.engine.model().state();
        live.shared = (None, 0);
        live.coming = None;
        live.turn = None;
        self.queue.push_front(live);
    }

    /// Keeps what a text computed.
    fn leave(&mut self, live: Live<'e>) -> Live<'e> {
        self.prefixes.unpin(live.shared.0);
        let backend = self.engine.model().backend();
        let turn = live.turn.as_ref();
        self.prefixes
            .keep(backend, &live.tokens, &live.state, true, turn);
        self.shrink();
        live
    }

    /// Pages that only this text has, once it has `more` tokens.
    fn own_pages(&self, live: &Live<'_>, more: usize) -> usize {
        let all = (live.state.len() + more).div_ceil(self.page);
        let coming = live.coming.as_ref().map_or(0, Coming::count);
        all.saturating_sub(live.shared.1) + coming + STATES * self.states
    }

    fn free_pages(&self) -> usize {
        let own: usize = self.live.iter().map(|live| self.own_pages(live, 0)).sum();
        let pinned: usize = self
            .live
            .iter()
            .map(|live| live.shared.1)
            .max()
            .unwrap_or(0);
        self.pages.saturating_sub(own + pinned)
    }

    /// Drops kept prefixes, then takes places away, until the pages of the step are there.
    fn make_room(&mut self, shares: &[Share]) {
        let mut more: usize = shares
            .iter()
            .map(|share| {
                let live = &self.live[share.index];
                self.own_pages(live, share.tokens) - self.own_pages(live, 0)
            })
            .sum();
        loop {
            let (own, kept, most) = self.pages();
            let lacking = (own + kept + more).saturating_sub(most);
            if self.evict(lacking) >= lacking || self.live.len() < 2 {
                return;
            }
            // The last who came, and of those that nobody waits for.
            let last = self
                .live
                .iter()
                .enumerate()
                .max_by_key(|(index, live)| (live.class, *index));
            let Some((index, _)) = last else {
                return;
            };
            let planned = shares.iter().find(|share| share.index == index);
            more = more.saturating_sub(planned.map_or(0, |share| share.tokens.div_ceil(self.page)));
            self.park(index);
        }
    }

    fn run(&mut self, shares: &[Share], urgent: &dyn Fn() -> bool) {
        let began = Instant::now();
        self.masks.prepare(&mut self.live, shares);
        let waited_for = shares
            .iter()
            .any(|share| self.live[share.index].class == Class::Interactive);
        let go_on = || waited_for || !urgent();
        let outcome = self.compute(shares, &go_on);
        self.masks.collect(&mut self.live);
        let rows = match outcome {
            Outcome::Rows(rows) => rows,
            Outcome::Abandoned => {
                self.totals.abandoned += 1;
                return;
            }
        };
        self.pace.measure(shares, began.elapsed());
        self.totals.steps += 1;
        self.totals.texts += shares.len() as u64;
        self.settle(shares, rows);
    }

    /// The model's step. If it panics, each text is tried alone: only the one that does it again fails.
    fn compute(&mut self, shares: &[Share], go_on: &dyn Fn() -> bool) -> Outcome {
        if let Ok(rows) = self.attempt(shares, go_on) {
            return rows.map_or(Outcome::Abandoned, |rows| {
                Outcome::Rows(rows.into_iter().map(Ok).collect())
            });
        }
        let alone = |share: &Share| match self.attempt(std::slice::from_ref(share), &|| true) {
            Ok(rows) => Ok(rows.unwrap_or_default().pop().flatten()),
            Err(error) => Err(error),
        };
        Outcome::Rows(shares.iter().map(alone).collect())
    }

    /// One call of the model. The logits of each share, where the share ends its text.
    fn attempt(
        &mut self,
        shares: &[Share],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Option<Vec<f32>>>>> {
        let (engine, work, step) = (self.engine, &mut self.work, self.step);
        let mut ends = Vec::with_capacity(shares.len());
        let mut lengths = Vec::with_capacity(shares.len());
        let mut runs = Vec::with_capacity(shares.len());
        let mut by_index = shares.iter().peekable();
        for (index, live) in self.live.iter_mut().enumerate() {
            let Some(share) = by_index.next_if(|share| share.index == index) else {
                continue;
            };
            let from = live.state.len();
            let end = from + share.tokens == live.tokens.len();
            ends.push(end);
            lengths.push(from);
            runs.push(Run {
                tokens: &live.tokens[from..from + share.tokens],
                state: &mut live.state,
                logits: if end { Logits::Last(1) } else { Logits::None },
            });
        }
        let result = catch_unwind(AssertUnwindSafe(|| step(engine, work, &mut runs, go_on)));
        let Ok(result) = result else {
            let backend = engine.model().backend();
            for (run, before) in runs.iter_mut().zip(lengths) {
                run.state.truncate(backend, before);
                run.state.restore(backend);
            }
            self.work = Workspace::default();
            return Err(Error::Broken);
        };
        let Some(rows) = result? else {
            return Ok(None);
        };
        let mut rows = rows.into_iter();
        Ok(Some(
            ends.into_iter()
                .map(|end| if end { rows.next() } else { None })
                .collect(),
        ))
    }

    /// Chooses tokens, tells everybody, and lets go who is done.
    fn settle(&mut self, shares: &[Share], rows: Vec<Result<Option<Vec<f32>>>>) {
        let backend = self.engine.model().backend();
        let mut over = Vec::new();
        for (share, row) in shares.iter().zip(rows) {
            let live = &mut self.live[share.index];
            self.queue.serve(live.client, share.tokens);
            if live.reads() {
                self.totals.read += share.tokens as u64;
                let before = live.shared.0;
                live.shared = self
                    .prefixes
                    .keep(backend, &live.tokens, &live.state, false, None);
                self.prefixes.pin(live.shared.0);
                self.prefixes.unpin(before);
            } else {
                live.note_turn(backend, self.page);
            }
            let engine = self.engine;
            let next = row.and_then(|row| {
                live.told_read();
                let Some(mut logits) = row else {
                    return Ok(Next::Go);
                };
                let taken = catch_unwind(AssertUnwindSafe(|| live.take(engine, &mut logits)));
                taken.unwrap_or(Err(Error::Broken))
            });
            match next {
                Ok(Next::Go) => {}
                Ok(Next::Over(finish, text)) => over.push((share.index, Ok((finish, text)))),
                Err(error) => over.push((share.index, Err(error))),
            }
        }
        for (index, end) in over.into_iter().rev() {
            let live = self.live.remove(index);
            self.totals.generated += live.answer.tokens as u64;
            let live = self.leave(live);
            match end {
                Ok((finish, text)) => live.done(finish, text),
                Err(error) => {
                    self.totals.failed += 1;
                    live.failed(error);
                }
            }
        }
    }
}

enum Outcome {
    Rows(Vec<Result<Option<Vec<f32>>>>),
    Abandoned,
}
