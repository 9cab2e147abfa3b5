//! The loop on the built-in model.

mod recurrent;

use std::{
    cell::Cell,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hearth_compute::Precision;
use hearth_format::Checkpoint;

use super::*;
use crate::{
    Generation, Limits, Options, Sequence, Terms,
    sampling::{Chain, Settings},
};

fn engine(context: usize) -> Engine {
    engine_in(Precision::Exact, context)
}

pub(crate) fn engine_in(precision: Precision, context: usize) -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/assets/bard.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let options = Options {
        threads: Some(1),
        context: Some(context),
        precision,
        ..Options::default()
    };
    Engine::load(&checkpoint, options).unwrap()
}

/// What a job was told.
#[derive(Clone, Default)]
pub(crate) struct Told {
    updates: Arc<Mutex<Vec<Update>>>,
    gone: Arc<AtomicBool>,
    wait: Arc<AtomicBool>,
    panics_at: Option<usize>,
}

impl Sink for Told {
    fn send(&mut self, update: Update) {
        let mut updates = self.updates.lock().unwrap();
        if let (Update::Token(_), Some(at)) = (&update, self.panics_at) {
            let tokens = updates
                .iter()
                .filter(|u| matches!(u, Update::Token(_)))
                .count();
            drop(updates);
            assert!(tokens < at, "a fault in one request");
            updates = self.updates.lock().unwrap();
        }
        updates.push(update);
    }

    fn flow(&self) -> Flow {
        match (
            self.gone.load(Ordering::Relaxed),
            self.wait.load(Ordering::Relaxed),
        ) {
            (true, _) => Flow::Gone,
            (_, true) => Flow::Wait,
            _ => Flow::Go,
        }
    }
}

impl Told {
    pub(crate) fn ids(&self) -> Vec<u32> {
        let updates = self.updates.lock().unwrap();
        let token = |update: &Update| match update {
            Update::Token(token) => Some(token.id),
            _ => None,
        };
        updates.iter().filter_map(token).collect()
    }

    pub(crate) fn report(&self) -> Option<Report> {
        match self.updates.lock().unwrap().last() {
            Some(Update::Done(report)) => Some(report.clone()),
            _ => None,
        }
    }

    fn failure(&self) -> Option<String> {
        match self.updates.lock().unwrap().last() {
            Some(Update::Failed(error)) => Some(error.to_string()),
            _ => None,
        }
    }
}

fn terms(seed: u64, tokens: usize) -> Terms {
    Terms {
        limits: Limits {
            max_tokens: tokens,
            ignore_end: true,
            ..Limits::default()
        },
        ..Terms::new(Chain::new(&Settings::default(), Vec::new(), seed))
    }
}

pub(crate) fn job(prompt: &[u32], seed: u64, tokens: usize, told: &Told) -> Job {
    Job {
        prompt: prompt.to_vec(),
        terms: terms(seed, tokens),
        shift: None,
        class: Class::Interactive,
        client: 0,
        sink: Box::new(told.clone()),
    }
}

pub(crate) fn prompt(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) % 900 + 4)
        .collect()
}

pub(crate) fn drain(scheduler: &mut Scheduler<'_>) {
    let mut steps = 0;
    while !scheduler.is_idle() {
        scheduler.step(&|| false);
        steps += 1;
        assert!(steps < 20_000, "it ends");
    }
}

pub(crate) fn alone(engine: &Engine, prompt: &[u32], seed: u64, tokens: usize) -> Vec<u32> {
    let generation = Generation {
        prompt,
        terms: terms(seed, tokens),
    };
    Sequence::new(engine)
        .generate(generation, |_| ControlFlow::Continue(()))
        .unwrap()
        .ids
}

#[test]
fn many_texts_in_one_loop_are_what_each_is_alone() {
    let engine = engine(512);
    // Room for all, room for few at a time, and memory for little more than one.
    let page = engine.model().state_bytes(64);
    for (parallel, cache_bytes) in [(16, usize::MAX), (3, usize::MAX), (8, 12 * page)] {
        let mut scheduler = Scheduler::new(
            &engine,
            Config {
                parallel,
                cache_bytes,
                ..Config::default()
            },
        );
        let texts: Vec<(Vec<u32>, Told)> = (0..10)
            .map(|i| (prompt(i % 7, 20 + 60 * i as usize % 400), Told::default()))
            .collect();
        for (i, (prompt, told)) in texts.iter().enumerate() {
            let mut job = job(prompt, i as u64, 40, told);
            job.client = i as u64 % 3;
            job.class = if i % 3 == 0 {
                Class::Batch
            } else {
                Class::Interactive
            };
            scheduler.submit(job);
            scheduler.step(&|| false);
        }
        drain(&mut scheduler);
        for (i, (prompt, told)) in texts.iter().enumerate() {
            assert_eq!(
                told.ids(),
                alone(&engine, prompt, i as u64, 40),
                "text {i} of {parallel}"
            );
            assert_eq!(told.report().unwrap().finish, Finish::Length);
        }
        let (own, kept, most) = scheduler.pages();
        assert_eq!(own, 0, "every page is returned");
        assert!(kept <= most, "{kept} of {most}");
    }
}

#[test]
fn a_conversation_is_read_once() {
    let engine = engine_in(Precision::Fast, 8192);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    // An agent: a long first turn, then fifty turns of answers and results.
    let mut text = prompt(1, 1500);
    let (mut read, mut cached, mut all) = (0, 0, 0);
    for turn in 0..50 {
        let told = Told::default();
        scheduler.submit(job(&text, turn, 20, &told));
        drain(&mut scheduler);
        let report = told.report().unwrap();
        if turn > 0 {
            all += report.prompt;
            cached += report.cached;
        }
        read += report.prompt - report.cached;
        text.extend(told.ids());
        text.extend(prompt(turn as u32 + 2, 60));
    }
    // Only what is new in a turn is read: 60 tokens and the last of the answer.
    assert_eq!(read, 1500 + 49 * 61);
    let share = cached as f64 / all as f64;
    assert!(share >= 0.95, "{share}");
    // An edit in the middle costs what comes after it.
    text[3000] ^= 1;
    let told = Told::default();
    scheduler.submit(job(&text, 0, 1, &told));
    drain(&mut scheduler);
    assert_eq!(told.report().unwrap().cached, 3000);
}

#[test]
fn those_who_begin_alike_share_what_is_read_now() {
    let engine = engine_in(Precision::Fast, 2048);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    let text = prompt(1, 1400);
    let told: Vec<Told> = (0..4).map(|_| Told::default()).collect();
    for (i, told) in told.iter().enumerate() {
        scheduler.submit(job(&text, i as u64, 4, told));
    }
    drain(&mut scheduler);
    let cached: Vec<usize> = told
        .iter()
        .map(|told| told.report().unwrap().cached)
        .collect();
    assert_eq!(cached[0], 0);
    assert!(
        cached[1..].iter().all(|cached| *cached >= 1344),
        "{cached:?}"
    );
}

#[test]
fn whoever_left_costs_one_step_and_returns_everything() {
    let engine = engine_in(Precision::Fast, 4096);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    for when in [0, 1, 3, 8] {
        let told = Told::default();
        scheduler.submit(job(&prompt(when, 1200), 0, 1000, &told));
        for _ in 0..when {
            scheduler.step(&|| false);
        }
        told.gone.store(true, Ordering::Relaxed);
        let steps = scheduler.totals().steps;
        assert!(!scheduler.step(&|| false), "nothing is computed for nobody");
        assert_eq!(scheduler.totals().steps, steps);
        assert!(scheduler.is_idle());
        assert_eq!(scheduler.pages().0, 0);
    }
}

#[test]
fn a_step_that_nobody_waits_for_is_given_up() {
    let engine = engine(2048);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    let told = Told::default();
    let mut batch = job(&prompt(1, 1000), 3, 5, &told);
    batch.class = Class::Batch;
    scheduler.submit(batch);
    let asked = Cell::new(0);
    let after = |n: usize| {
        asked.set(0);
        let asked = &asked;
        move || {
            asked.set(asked.get() + 1);
            asked.get() > n
        }
    };
    scheduler.step(&after(2));
    assert_eq!(
        (scheduler.totals().steps, scheduler.totals().abandoned),
        (0, 1)
    );
    assert_eq!(asked.get(), 3, "it stops at the next layer");
    scheduler.step(&after(99));
    scheduler.step(&after(1));
    // While a question is read the work rests; then both go on, each to its right end.
    let question = Told::default();
    scheduler.submit(job(&prompt(2, 700), 4, 5, &question));
    scheduler.step(&|| true);
    assert_eq!(scheduler.totals().abandoned, 2);
    drain(&mut scheduler);
    assert_eq!(told.ids(), alone(&engine, &prompt(1, 1000), 3, 5));
    assert_eq!(question.ids(), alone(&engine, &prompt(2, 700), 4, 5));
}

#[test]
fn a_panic_fails_the_text_it_belongs_to() {
    let engine = engine(512);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    // In the model, for whoever has token 5 in the step; and in what is told.
    scheduler.step = |engine, work, runs, go_on| {
        let rows = model_step(engine, work, runs, go_on);
        assert!(
            !runs.iter().any(|run| run.tokens.contains(&5)),
            "a fault in the model"
        );
        rows
    };
    let clean = |seed| {
        prompt(seed, 100)
            .iter()
            .map(|id| id | 8)
            .collect::<Vec<u32>>()
    };
    let mut broken = clean(1);
    broken[70] = 5;
    let told: Vec<Told> = (0..4)
        .map(|i| Told {
            panics_at: (i == 2).then_some(3),
            ..Told::default()
        })
        .collect();
    for (i, told) in told.iter().enumerate() {
        let text = if i == 1 {
            broken.clone()
        } else {
            clean(i as u32 + 10)
        };
        let mut job = job(&text, i as u64, 8, told);
        job.terms.forbidden = vec![5];
        scheduler.submit(job);
    }
    drain(&mut scheduler);
    assert!(
        told[1]
            .failure()
            .unwrap()
            .contains("failed inside the engine")
    );
    assert!(
        told[2]
            .failure()
            .unwrap()
            .contains("failed inside the engine")
    );
    for i in [0, 3] {
        let mut sequence = Sequence::new(&engine);
        let mut terms = terms(i as u64, 8);
        terms.forbidden = vec![5];
        let text = clean(i as u32 + 10);
        let generation = Generation {
            prompt: &text,
            terms,
        };
        let want = sequence
            .generate(generation, |_| ControlFlow::Continue(()))
            .unwrap();
        assert_eq!(told[i].ids(), want.ids, "text {i} is untouched");
    }
    assert_eq!(scheduler.pages().0, 0);
    assert_eq!(scheduler.totals().failed, 2);
}

#[test]
fn whoever_does_not_read_is_waited_for_without_holding_up_others() {
    let engine = engine(512);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    let (slow, quick) = (Told::default(), Told::default());
    slow.wait.store(true, Ordering::Relaxed);
    scheduler.submit(job(&prompt(1, 30), 1, 6, &slow));
    scheduler.submit(job(&prompt(2, 30), 2, 6, &quick));
    while scheduler.step(&|| false) {}
    assert!(quick.report().is_some());
    assert!(slow.ids().is_empty());
    slow.wait.store(false, Ordering::Relaxed);
    drain(&mut scheduler);
    assert_eq!(slow.ids(), alone(&engine, &prompt(1, 30), 1, 6));
}

#[test]
fn what_cannot_run_is_refused_with_the_counts() {
    let engine = engine(100);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    let cases = [
        (
            prompt(1, 100),
            "the prompt has 100 tokens, the context holds 100",
        ),
        (Vec::new(), "the prompt has no tokens"),
        (vec![4_000_000], "token 4000000 is not in the vocabulary"),
    ];
    for (text, want) in cases {
        let told = Told::default();
        scheduler.submit(job(&text, 0, 1, &told));
        assert!(told.failure().unwrap().contains(want), "{want}");
    }
    assert!(scheduler.is_idle());
}

#[test]
fn a_full_context_ends_or_shifts_and_says_so() {
    let engine = engine(128);
    let mut scheduler = Scheduler::new(&engine, Config::default());
    let (ends, shifts) = (Told::default(), Told::default());
    scheduler.submit(job(&prompt(1, 100), 1, 300, &ends));
    let mut long = job(&prompt(1, 100), 1, 300, &shifts);
    long.shift = Some(10);
    scheduler.submit(long);
    drain(&mut scheduler);
    let report = ends.report().unwrap();
    assert_eq!(
        (report.finish, report.generated, report.dropped),
        (Finish::Context, 28, 0)
    );
    let report = shifts.report().unwrap();
    assert_eq!((report.finish, report.generated), (Finish::Length, 300));
    assert!(report.dropped >= 272, "{}", report.dropped);
    assert_eq!(shifts.ids()[..28], ends.ids()[..]);
}

#[test]
fn clients_get_equal_shares() {
    let engine = engine(512);
    let mut scheduler = Scheduler::new(
        &engine,
        Config {
            parallel: 1,
            ..Config::default()
        },
    );
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Noted(u64, Arc<Mutex<Vec<u64>>>);
    impl Sink for Noted {
        fn send(&mut self, update: Update) {
            if let Update::Started { .. } = update {
                self.1.lock().unwrap().push(self.0);
            }
        }
        fn flow(&self) -> Flow {
            Flow::Go
        }
    }
    // One client asks eight times before another asks twice.
    for (i, client) in [1, 1, 1, 1, 1, 1, 1, 1, 2, 2].into_iter().enumerate() {
        let mut job = job(&prompt(i as u32, 50), 0, 5, &Told::default());
        job.client = client;
        job.sink = Box::new(Noted(client, order.clone()));
        scheduler.submit(job);
    }
    drain(&mut scheduler);
    assert_eq!(*order.lock().unwrap(), [1, 2, 1, 2, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn the_thread_serves_many_at_once_and_refuses_past_its_bound() {
    let engine = Arc::new(engine(512));
    let config = Config {
        parallel: 4,
        queue: 40,
        ..Config::default()
    };
    let runner = Runner::start(Arc::clone(&engine), config).unwrap();
    let texts: Vec<(Vec<u32>, Told)> = (0..12).map(|i| (prompt(i, 50), Told::default())).collect();
    std::thread::scope(|scope| {
        for (i, (prompt, told)) in texts.iter().enumerate() {
            let runner = &runner;
            scope.spawn(move || assert!(runner.submit(job(prompt, i as u64, 30, told)).is_ok()));
        }
    });
    let (done, asked) = (Arc::new(AtomicUsize::new(0)), 3);
    for _ in 0..asked {
        let done = Arc::clone(&done);
        let task = move |engine: &Engine| {
            done.fetch_add(engine.context(), Ordering::Relaxed);
        };
        assert!(runner.run(task).is_ok());
    }
    assert!(runner.run(|_| panic!("a fault in a task")).is_ok());
    while texts.iter().any(|(_, told)| told.report().is_none()) {
        std::thread::yield_now();
    }
    for (i, (prompt, told)) in texts.iter().enumerate() {
        assert_eq!(told.ids(), alone(&engine, prompt, i as u64, 30), "text {i}");
    }
    assert_eq!(done.load(Ordering::Relaxed), 512 * asked);
    let flood: Vec<Told> = (0..100)
        .map(|_| Told {
            wait: Arc::new(AtomicBool::new(true)),
            ..Told::default()
        })
        .collect();
    let taken = flood
        .iter()
        .filter(|told| runner.submit(job(&prompt(1, 300), 0, 100, told)).is_ok())
        .count();
    assert!((40..=44).contains(&taken), "{taken}");
    drop(runner);
    let ended = flood
        .iter()
        .filter(|told| told.report().is_some() || told.failure().is_some())
        .count();
    assert_eq!(ended, taken, "nobody is left waiting");
}
