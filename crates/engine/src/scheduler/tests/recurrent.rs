//! The loop on models whose state cannot go back: short convolutions beside attention, and state spaces alone.

use tempfile::TempDir;

use super::*;

const PAGE: usize = 64;

/// Small models of the conformance kit, none where that is absent.
fn engines(context: usize) -> Vec<(&'static str, Engine)> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return Vec::new();
    }
    let load = |family: &'static str| {
        let checkpoint = Checkpoint::open(&kit.join(family).join("model.gguf")).unwrap();
        let options = Options {
            threads: Some(2),
            context: Some(context),
            precision: Precision::Exact,
            ..Options::default()
        };
        (family, Engine::load(&checkpoint, options).unwrap())
    };
    ["lfm2", "mamba", "mamba2"].map(load).into()
}

fn text(seed: u32, len: usize) -> Vec<u32> {
    prompt(seed, len).iter().map(|id| id % 250 + 4).collect()
}

fn ask(scheduler: &mut Scheduler<'_>, text: &[u32], tokens: usize) -> (usize, Vec<u32>) {
    let told = Told::default();
    scheduler.submit(job(text, 1, tokens, &told));
    drain(scheduler);
    (told.report().unwrap().cached, told.ids())
}

#[test]
fn many_texts_are_what_each_is_alone_in_any_memory() {
    for (family, engine) in engines(512) {
        for (parallel, cache_bytes) in [(16, usize::MAX), (3, usize::MAX), (8, 1)] {
            let config = Config {
                parallel,
                cache_bytes,
                ..Config::default()
            };
            let mut scheduler = Scheduler::new(&engine, config);
            let texts: Vec<(Vec<u32>, Told)> = (0..10)
                .map(|i| (text(i % 7, 20 + 60 * i as usize % 400), Told::default()))
                .collect();
            for (i, (text, told)) in texts.iter().enumerate() {
                scheduler.submit(job(text, i as u64, 40, told));
                scheduler.step(&|| false);
            }
            drain(&mut scheduler);
            for (i, (text, told)) in texts.iter().enumerate() {
                let want = alone(&engine, text, i as u64, 40);
                assert_eq!(told.ids(), want, "{family}: text {i} of {parallel}");
            }
            let (own, kept, most) = scheduler.pages();
            assert_eq!(own, 0, "{family}");
            assert!(kept <= most, "{family}: {kept} of {most}");
        }
    }
}

#[test]
fn a_text_goes_on_from_its_turns() {
    for (family, engine) in engines(2048) {
        let mut scheduler = Scheduler::new(&engine, Config::default());
        let mut all = text(1, 1300);
        let (cached, answer) = ask(&mut scheduler, &all, 100);
        assert_eq!(cached, 0);
        let check = |scheduler: &mut Scheduler<'_>, text: &[u32], want: usize, what: &str| {
            let (cached, answer) = ask(scheduler, text, 12);
            assert_eq!(cached, want, "{family}: {what}");
            assert_eq!(answer, alone(&engine, text, 1, 12), "{family}: {what}");
        };
        check(&mut scheduler, &all, 1299 / PAGE * PAGE, "the same again");
        let mut edited = all.clone();
        edited[1100] ^= 1;
        check(&mut scheduler, &edited, 1024, "an edit in the middle");
        edited[1290] ^= 1;
        check(&mut scheduler, &edited, 1280, "an edit at the end");
        // All but the last token of the answer was computed.
        all.extend(answer);
        all.extend(text(2, 90));
        check(&mut scheduler, &all, 1399 / PAGE * PAGE, "the next turn");
    }
}

#[test]
fn a_conversation_is_read_once() {
    for (family, engine) in engines(8192) {
        let mut scheduler = Scheduler::new(&engine, Config::default());
        let mut all = text(1, 1500);
        let (mut cached, mut prompts) = (0, 0);
        for turn in 0..50 {
            let (reused, answer) = ask(&mut scheduler, &all, 20);
            if turn > 0 {
                (cached, prompts) = (cached + reused, prompts + all.len());
            }
            all.extend(answer);
            all.extend(text(turn + 2, 60));
        }
        let share = cached as f64 / prompts as f64;
        assert!(share >= 0.95, "{family}: {share}");
    }
}

#[test]
fn what_was_read_outlives_the_loop() {
    for (family, engine) in engines(2048) {
        let place = TempDir::new().unwrap();
        let config = Config {
            model: Some([7; 32]),
            disk: Some(Disk {
                directory: place.path().to_owned(),
                bytes: 1 << 30,
            }),
            ..Config::default()
        };
        let mut all = text(1, 700);
        let mut first = Scheduler::new(&engine, config.clone());
        let (_, answer) = ask(&mut first, &all, 100);
        let saved = place.path().join("text");
        let (count, _) = first.save(&all, &saved).unwrap();
        assert_eq!(count, 700);
        first.close();
        all.extend(answer);
        all.extend(text(2, 30));
        let mut second = Scheduler::new(&engine, config);
        let (cached, answer) = ask(&mut second, &all, 12);
        assert_eq!(cached, 799 / PAGE * PAGE, "{family}");
        assert_eq!(answer, alone(&engine, &all, 1, 12), "{family}");
        // A file of its own: from there too, up to the last page.
        let own = Config {
            model: Some([7; 32]),
            ..Config::default()
        };
        let mut third = Scheduler::new(&engine, own);
        assert_eq!(third.load(&saved).unwrap().0, all[..700]);
        let (cached, answer) = ask(&mut third, &all[..720], 12);
        assert_eq!(cached, 700 / PAGE * PAGE, "{family}");
        assert_eq!(answer, alone(&engine, &all[..720], 1, 12), "{family}");
    }
}

#[test]
fn steps_that_fail_or_are_given_up_leave_the_state() {
    for (family, engine) in engines(2048) {
        let mut scheduler = Scheduler::new(&engine, Config::default());
        let told = Told::default();
        let mut batch = job(&text(1, 1000), 3, 5, &told);
        batch.class = Class::Batch;
        scheduler.submit(batch);
        let asked = Cell::new(0);
        for _ in 0..3 {
            asked.set(0);
            scheduler.step(&|| {
                asked.set(asked.get() + 1);
                asked.get() > 1
            });
        }
        assert_eq!(scheduler.totals().abandoned, 3, "{family}");
        // A step of both panics, and then each text is tried alone.
        scheduler.step = |engine, work, runs, go_on| {
            assert!(runs.len() < 2, "a fault in steps of two texts");
            model_step(engine, work, runs, go_on)
        };
        let question = Told::default();
        scheduler.submit(job(&text(2, 700), 4, 30, &question));
        let other = Told::default();
        scheduler.submit(job(&text(3, 90), 5, 30, &other));
        drain(&mut scheduler);
        for (told, seed, len, tokens) in [
            (told, 3, 1000, 5),
            (question, 4, 700, 30),
            (other, 5, 90, 30),
        ] {
            let want = alone(&engine, &text(seed as u32 - 2, len), seed, tokens);
            assert_eq!(told.ids(), want, "{family}");
        }
    }
}

#[test]
fn a_chat_goes_on_from_its_turns() {
    for (family, engine) in engines(2048) {
        let mut sequence = Sequence::new(&engine);
        let mut ask = |text: &[u32], want: usize| {
            let generation = Generation {
                prompt: text,
                terms: terms(1, 12),
            };
            let answer = sequence
                .generate(generation, |_| ControlFlow::Continue(()))
                .unwrap();
            assert_eq!(answer.reused, want, "{family}");
            assert_eq!(answer.ids, alone(&engine, text, 1, 12), "{family}");
            answer.ids
        };
        let all = text(1, 100);
        let answer = ask(&all, 0);
        let next = [&all[..], &answer, &text(2, 20)].concat();
        ask(&next, 111);
        // The second answer is dropped, then the first: back to the ends of prompts.
        let other = [&next[..], &text(3, 20)].concat();
        ask(&other, 132);
        let other = [&all[..], &text(4, 20)].concat();
        ask(&other, 100);
        ask(&text(5, 20), 0);
    }
}
