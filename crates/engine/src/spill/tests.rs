//! Pages on disk under the loop, on the built-in model.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_compute::Precision;
use hearth_format::{Bytes, Checkpoint};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    Options,
    scheduler::{
        Config, Scheduler,
        tests::{Told, alone, drain, engine_in, job, prompt},
    },
};

const MODEL: [u8; 32] = [7; 32];
const PAGE: usize = 64;

fn config(directory: &Path) -> Config {
    Config {
        model: Some(MODEL),
        disk: Some(Disk {
            directory: directory.to_owned(),
            bytes: 1 << 30,
        }),
        ..Config::default()
    }
}

/// Asks, and returns how much was cached and the answer.
fn ask(scheduler: &mut Scheduler<'_>, text: &[u32]) -> (usize, Vec<u32>) {
    let told = Told::default();
    scheduler.submit(job(text, 1, 12, &told));
    drain(scheduler);
    (told.report().unwrap().cached, told.ids())
}

/// Computes a text once and leaves its pages in the directory.
fn fill(engine: &Engine, config: &Config, text: &[u32]) {
    let mut scheduler = Scheduler::new(engine, config.clone());
    ask(&mut scheduler, text);
    scheduler.close();
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for model in fs::read_dir(directory).unwrap() {
        let model = model.unwrap().path();
        if model.is_dir() {
            found.extend(
                fs::read_dir(model)
                    .unwrap()
                    .map(|file| file.unwrap().path()),
            );
        }
    }
    found
}

/// Pages that have their name.
fn whole(directory: &Path) -> usize {
    let all = files(directory).into_iter();
    all.filter(|file| file.extension().is_none()).count()
}

/// Bytes of what is there; what another loop removes meanwhile is not.
fn total(directory: &Path) -> u64 {
    let size = |file: &PathBuf| match fs::metadata(file) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => 0,
        metadata => metadata.unwrap().len(),
    };
    files(directory).iter().map(size).sum()
}

#[test]
fn a_restarted_loop_goes_on_where_the_last_one_was() {
    for precision in [Precision::Exact, Precision::Fast] {
        let (engine, place) = (engine_in(precision, 2048), TempDir::new().unwrap());
        let mut text = prompt(1, 700);
        let mut first = Scheduler::new(&engine, config(place.path()));
        let (cached, answer) = ask(&mut first, &text);
        assert_eq!(cached, 0);
        first.close();
        drop(first);
        let mut second = Scheduler::new(&engine, config(place.path()));
        assert_eq!(ask(&mut second, &text), (700 / PAGE * PAGE, answer.clone()));
        assert_eq!(second.totals().restored, 640);
        // The conversation goes on: its answer was kept too.
        second.close();
        text.extend(answer);
        text.extend(prompt(2, 100));
        let mut third = Scheduler::new(&engine, config(place.path()));
        let (cached, answer) = ask(&mut third, &text);
        assert_eq!(cached, 711 / PAGE * PAGE);
        if precision == Precision::Exact {
            assert_eq!(answer, alone(&engine, &text, 1, 12));
        }
    }
}

#[test]
fn only_the_same_of_everything_is_reused() {
    let place = TempDir::new().unwrap();
    let engine = engine_in(Precision::Exact, 1024);
    let text = prompt(1, 300);
    fill(&engine, &config(place.path()), &text);
    let ask = |engine: &Engine, model: [u8; 32], text: &[u32]| {
        let mut config = config(place.path());
        config.model = Some(model);
        let mut scheduler = Scheduler::new(engine, config);
        let (cached, answer) = ask(&mut scheduler, text);
        assert_eq!(answer, alone(engine, text, 1, 12));
        cached
    };
    assert_eq!(ask(&engine, MODEL, &text), 256, "the same");
    assert_eq!(ask(&engine, [8; 32], &text), 0, "another model");
    let other = engine_in(Precision::Fast, 1024);
    let mut scheduler = Scheduler::new(&other, config(place.path()));
    assert_eq!(
        super::tests::ask(&mut scheduler, &text).0,
        0,
        "another precision"
    );
    // What a context may change of a model is its rotation, which is part of the spec; its length alone changes nothing.
    assert_eq!(ask(&engine_in(Precision::Exact, 512), MODEL, &text), 256);
    assert_eq!(ask(&turned(), MODEL, &text), 0, "another rotation");
    for (at, expected) in [
        (0, 0),
        (63, 0),
        (64, 64),
        (150, 128),
        (255, 192),
        (256, 256),
    ] {
        let mut other = text.clone();
        other[at] ^= 1;
        assert_eq!(ask(&engine, MODEL, &other), expected, "another token {at}");
    }
    // The same tokens elsewhere are others.
    assert_eq!(ask(&engine, MODEL, &text[64..]), 0);
    assert_eq!(ask(&engine, MODEL, &text[..129]), 128);
    assert_eq!(
        ask(&engine, MODEL, &text[..128]),
        64,
        "the last token is read in any case"
    );
}

/// The built-in model with another base of its rotation.
fn turned() -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/assets/bard.gguf");
    let mut bytes = fs::read(path).unwrap();
    let name = b"llama.rope.freq_base";
    let at = bytes
        .windows(name.len())
        .position(|part| part == name)
        .unwrap()
        + name.len()
        + 4;
    let base = f32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    assert!(base >= 1000.0, "{base}");
    bytes[at..at + 4].copy_from_slice(&(base * 2.0).to_le_bytes());
    let options = Options {
        threads: Some(1),
        context: Some(1024),
        precision: Precision::Exact,
        ..Options::default()
    };
    let checkpoint = Checkpoint::from_gguf_bytes(Bytes::new(bytes), "turned").unwrap();
    Engine::load(&checkpoint, options).unwrap()
}

#[test]
fn what_leaves_memory_comes_back_from_the_disk() {
    let (engine, place) = (engine_in(Precision::Exact, 512), TempDir::new().unwrap());
    let mut config = config(place.path());
    config.cache_bytes = 0; // room for one text of a whole context
    let mut scheduler = Scheduler::new(&engine, config);
    let texts: Vec<Vec<u32>> = (0..3).map(|seed| prompt(seed, 450)).collect();
    for text in &texts {
        ask(&mut scheduler, text);
    }
    let before = scheduler.totals().restored;
    // The first text was written beside the others: its last page at least two texts ago.
    while whole(place.path()) < 7 {
        std::thread::yield_now();
    }
    let mut scheduler_again = || ask(&mut scheduler, &texts[0]);
    let (cached, answer) = scheduler_again();
    assert_eq!((cached, answer), (448, alone(&engine, &texts[0], 1, 12)));
    assert!(scheduler.totals().restored > before);
    let (own, kept, most) = scheduler.pages();
    assert!(own == 0 && kept <= most, "{own} and {kept} of {most}");
}

#[test]
fn what_nobody_asks_for_now_is_written_at_leisure() {
    let (engine, place) = (engine_in(Precision::Exact, 1024), TempDir::new().unwrap());
    let mut scheduler = Scheduler::new(&engine, config(place.path()));
    let text = prompt(1, 300);
    ask(&mut scheduler, &text);
    assert!(files(place.path()).is_empty());
    while scheduler.save_some() {}
    assert!(scheduler.prefixes.unsaved().is_empty());
    while whole(place.path()) < 4 {
        std::thread::yield_now();
    }
    // The process dies; another one has the text.
    let mut other = Scheduler::new(&engine, config(place.path()));
    assert_eq!(ask(&mut other, &text).0, 256);
}

/// The directory of a text's pages, and all it takes to read them.
struct Written {
    engine: Engine,
    place: TempDir,
    text: Vec<u32>,
    answer: Vec<u32>,
}

impl Written {
    fn new() -> Self {
        let (engine, place) = (engine_in(Precision::Exact, 1024), TempDir::new().unwrap());
        let text = prompt(1, 300);
        let mut scheduler = Scheduler::new(&engine, config(place.path()));
        let (_, answer) = ask(&mut scheduler, &text);
        scheduler.close();
        Self {
            engine,
            place,
            text,
            answer,
        }
    }

    fn root(&self) -> Key {
        Key::root(&self.engine, &MODEL)
    }

    fn page(&self, index: usize) -> (Key, PathBuf) {
        let mut above = self.root();
        for tokens in self.text.chunks(PAGE).take(index) {
            above = above.then(tokens);
        }
        let key = above.then(self.tokens(index));
        let model = self.place.path().join(self.root().to_string());
        (above, model.join(key.to_string()))
    }

    fn tokens(&self, index: usize) -> &[u32] {
        &self.text[index * PAGE..][..PAGE]
    }

    fn read(&self, bytes: &[u8]) -> io::Result<Page<Cpu>> {
        let (model, empty) = (self.engine.model(), self.engine.model().state());
        let bytes = Bytes::new(bytes.to_vec());
        record::lend(model, &empty, self.page(1).0, self.tokens(1), &bytes)
    }

    fn restored(&self) -> usize {
        let mut scheduler = Scheduler::new(&self.engine, config(self.place.path()));
        let (cached, answer) = ask(&mut scheduler, &self.text);
        assert_eq!(answer, self.answer);
        scheduler.close();
        cached
    }
}

#[test]
fn no_byte_of_a_page_can_change_unseen() {
    let written = Written::new();
    let whole = fs::read(written.page(1).1).unwrap();
    assert_eq!(
        whole.len() as u64,
        record::bytes(written.engine.model(), PAGE, true)
    );
    assert!(written.read(&whole).is_ok());
    // Every byte of the header and of the sum, and every 53rd between them.
    let header = (88 + 4 * PAGE).next_multiple_of(64);
    let ends = (0..header).chain(whole.len() - sum::BYTES..whole.len());
    let mut bytes = whole.clone();
    for at in ends.chain((header..whole.len()).step_by(53)) {
        for flip in [1, 0x80, 0xff] {
            bytes[at] ^= flip;
            assert!(written.read(&bytes).is_err(), "{flip:02x} at {at}");
            bytes[at] ^= flip;
        }
    }
    for len in (0..header + 8)
        .chain((header..whole.len()).step_by(997))
        .chain([whole.len() - 1])
    {
        assert!(written.read(&whole[..len]).is_err(), "{len} bytes");
    }
    // A sound page of other tokens, or of the same ones elsewhere, is not the one that is asked for.
    for index in [0, 2, 3] {
        assert!(
            written
                .read(&fs::read(written.page(index).1).unwrap())
                .is_err()
        );
    }
    runs(&written, &whole);
}

/// Damage of any form: pieces that are overwritten, moved, or filled with zeros.
fn runs(written: &Written, whole: &[u8]) {
    let cases = (0..whole.len(), 1..5000usize, 0..whole.len(), 0..3usize);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let run = runner.run(&cases, |(at, len, from, kind)| {
        let mut bytes = whole.to_vec();
        let (at, from) = (at.min(bytes.len() - 1), from.min(bytes.len() - 1));
        let len = len.min(bytes.len() - at).min(bytes.len() - from);
        match kind {
            0 => bytes[at..at + len].fill(0),
            1 => bytes.copy_within(from..from + len, at),
            _ => bytes[at..at + len]
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_add(1)),
        }
        prop_assert_eq!(written.read(&bytes).is_ok(), bytes == whole);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn damaged_pages_are_removed_and_computed_again() {
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let flip = |bytes: &mut Vec<u8>| bytes[5000] ^= 4;
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("cut", cut),
        ("flipped", flip),
        ("longer", |bytes| bytes.push(0)),
        ("empty", Vec::clear),
        ("of another version", |bytes| bytes[8] ^= 1),
    ];
    let written = Written::new();
    for (what, damage) in damages {
        let (_, path) = written.page(2);
        let sound = fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        damage(&mut bytes);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        assert_eq!(written.restored(), 128, "{what}");
        assert_eq!(fs::read(&path).unwrap(), sound, "{what}: it is made again");
    }
    // What has its name and is no file is left alone and not believed; nothing more is written then.
    let (_, path) = written.page(1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(written.restored(), 64);
    assert!(path.is_dir());
}

#[test]
fn the_longest_unused_go_first_and_the_bound_holds() {
    let (engine, place) = (engine_in(Precision::Exact, 512), TempDir::new().unwrap());
    let page = record::bytes(engine.model(), PAGE, true);
    let mut config = config(place.path());
    config.disk.as_mut().unwrap().bytes = page * 20;
    let texts: Vec<Vec<u32>> = (0..8).map(|seed| prompt(seed, 330)).collect();
    for text in &texts {
        // The first text is asked for again each time.
        fill(&engine, &config, text);
        std::thread::sleep(Duration::from_millis(20)); // times of files are coarse
        fill(&engine, &config, &texts[0]);
        assert!(total(place.path()) <= page * 20);
    }
    let cached = |text: &[u32]| {
        let mut scheduler = Scheduler::new(&engine, config.clone());
        ask(&mut scheduler, text).0
    };
    assert_eq!(cached(&texts[0]), 320, "the most used");
    assert_eq!(cached(&texts[7]), 320, "the last");
    assert_eq!(cached(&texts[1]), 0, "the longest unused");
    // Of what is cut the beginning stays.
    let kept: Vec<usize> = texts.iter().map(|text| cached(text)).collect();
    assert!(kept.iter().all(|cached| cached % PAGE == 0), "{kept:?}");
    // A count that is wrong or gone is made anew.
    for count in [&[][..], &[0xff; 8], &[1; 3]] {
        fs::write(place.path().join("size"), count).unwrap();
        fill(&engine, &config, &prompt(100 + count.len() as u32, 330));
        let size = fs::read(place.path().join("size")).unwrap();
        assert_eq!(
            u64::from_le_bytes(size.try_into().unwrap()),
            total(place.path())
        );
    }
    // One page is more than the bound.
    config.disk.as_mut().unwrap().bytes = page;
    fill(&engine, &config, &prompt(200, 330));
    assert!(total(place.path()) <= page * 20);
}

#[test]
fn two_loops_share_a_directory() {
    let (engine, place) = (engine_in(Precision::Exact, 1024), TempDir::new().unwrap());
    let mut config = config(place.path());
    let page = record::bytes(engine.model(), PAGE, true);
    config.disk.as_mut().unwrap().bytes = page * 20;
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (engine, config) = (&engine, &config);
            scope.spawn(move || {
                let mut scheduler = Scheduler::new(engine, config.clone());
                for round in 0..6 {
                    let text = prompt(round + seed % 2, 270);
                    assert_eq!(ask(&mut scheduler, &text).1, alone(engine, &text, 1, 12));
                    scheduler.save_some();
                    assert!(total(&config.disk.as_ref().unwrap().directory) <= page * 20);
                }
                scheduler.close();
            });
        }
    });
    assert!(total(place.path()) <= page * 20);
    let drafts = files(place.path())
        .iter()
        .any(|file| file.extension().is_some());
    assert!(!drafts, "everything has its name");
    let mut third = Scheduler::new(&engine, config);
    let restored = (0..7).map(|seed| ask(&mut third, &prompt(seed, 270)).0);
    assert!(restored.sum::<usize>() >= 8 * PAGE);
}

/// A disk that takes two thousand bytes of each file.
fn full(path: &Path) -> io::Result<Box<dyn Write>> {
    struct Full(fs::File, usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.1);
            self.1 -= count;
            match count {
                0 => Err(io::ErrorKind::StorageFull.into()),
                _ => self.0.write(&bytes[..count]),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    Ok(Box::new(Full(fs::File::create_new(path)?, 2000)))
}

#[test]
fn a_disk_that_refuses_harms_no_answer() {
    let (engine, place) = (engine_in(Precision::Exact, 1024), TempDir::new().unwrap());
    let (known, text) = (prompt(1, 300), prompt(2, 300));
    fill(&engine, &config(place.path()), &known);
    let before = files(place.path());
    let mut scheduler = Scheduler::new(&engine, config(place.path()));
    let disk = config(place.path()).disk.unwrap();
    scheduler.spill = Spill::open_with(&engine, &disk, scheduler.root, full);
    assert_eq!(
        ask(&mut scheduler, &text),
        (0, alone(&engine, &text, 1, 12))
    );
    scheduler.save_some();
    assert_eq!(
        ask(&mut scheduler, &known).0,
        256,
        "what is there is read all the same"
    );
    scheduler.close();
    assert_eq!(files(place.path()), before, "no draft stays");
    // A place where no directory can be: below a file.
    let file = place.path().join("size");
    let mut scheduler = Scheduler::new(&engine, config(&file.join("cache")));
    assert!(scheduler.spill.is_none());
    assert_eq!(
        ask(&mut scheduler, &text),
        (0, alone(&engine, &text, 1, 12))
    );
    scheduler.close();
    // A directory that was cleared away under a running loop is made again.
    let mut scheduler = Scheduler::new(&engine, config(place.path()));
    fs::remove_dir_all(place.path()).unwrap();
    ask(&mut scheduler, &text);
    scheduler.close();
    assert_eq!(files(place.path()).len(), 4);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let (engine, place) = (engine_in(Precision::Exact, 512), TempDir::new().unwrap());
    let directory = place.path().join("cache");
    fill(&engine, &config(&directory), &prompt(1, 100));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = files(&directory);
    assert_eq!(files.len(), 1);
    assert_eq!(
        (mode(&directory), mode(files[0].parent().unwrap())),
        (0o700, 0o700)
    );
    assert_eq!(
        (mode(&files[0]), mode(&directory.join("size"))),
        (0o400, 0o600)
    );
}

#[test]
fn a_text_is_saved_and_loaded_whole() {
    let (engine, place) = (engine_in(Precision::Exact, 1024), TempDir::new().unwrap());
    let (path, text) = (place.path().join("slot.bin"), prompt(1, 300));
    let named = Config {
        model: Some(MODEL),
        ..Config::default()
    };
    let mut first = Scheduler::new(&engine, named.clone());
    let (_, answer) = ask(&mut first, &text);
    // The last token of an answer is not read any more.
    let all: Vec<u32> = [&text[..], &answer[..11]].concat();
    let (count, bytes) = first.save(&all, &path).unwrap();
    assert_eq!((count, bytes), (311, fs::metadata(&path).unwrap().len()));
    let mut second = Scheduler::new(&engine, named.clone());
    assert_eq!(second.load(&path).unwrap(), (all.clone(), bytes));
    let longer = [&all[..], &prompt(2, 30)].concat();
    assert_eq!(
        ask(&mut second, &longer),
        (311, alone(&engine, &longer, 1, 12))
    );
    // Not for another model, not without one, and not damaged.
    let mut other = Scheduler::new(
        &engine,
        Config {
            model: Some([8; 32]),
            ..named.clone()
        },
    );
    let error = other.load(&path).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
    let mut nameless = Scheduler::new(&engine, Config::default());
    assert_eq!(
        nameless.load(&path).unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
    assert_eq!(
        nameless.save(&all, &path).unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
    let whole = fs::read(&path).unwrap();
    let mut third = Scheduler::new(&engine, named);
    for at in (0..whole.len()).step_by(9973) {
        let mut bytes = whole.clone();
        bytes[at] ^= 16;
        fs::write(&path, &bytes).unwrap();
        assert!(third.load(&path).is_err(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        let page = record::bytes(engine.model(), PAGE, true) as usize;
        assert_eq!(third.load(&path).is_ok(), at % page == 0, "{at} bytes");
    }
    assert_eq!(
        third.load(&place.path().join("none")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

/// `HEARTH_MODEL=1b.gguf cargo test --release -p hearth-engine restored_in -- --ignored --nocapture` prints how long a
/// prefix of `HEARTH_TOKENS` tokens takes to come back, with pages of arbitrary contents.
#[test]
#[ignore = "a measurement; needs a model and 3 GiB of memory"]
fn a_long_prefix_is_restored_in() {
    let model = std::env::var("HEARTH_MODEL").unwrap();
    let tokens = std::env::var("HEARTH_TOKENS").map_or(32_768, |text| text.parse().unwrap());
    let options = Options {
        context: Some(tokens + PAGE),
        ..Options::default()
    };
    let engine = Engine::load(&Checkpoint::open(Path::new(&model)).unwrap(), options).unwrap();
    let place = TempDir::new().unwrap();
    let text = prompt(1, tokens + 1);
    let mut config = config(place.path());
    config.disk.as_mut().unwrap().bytes = 8 << 30;
    let mut scheduler = Scheduler::new(&engine, config.clone());
    let bytes = record::bytes(engine.model(), PAGE, true);
    let noise: Vec<u8> = (0..bytes)
        .map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8 & 0x3f)
        .collect();
    let empty = engine.model().state();
    let page = || {
        empty
            .read_page(engine.model().backend(), true, &mut &noise[..])
            .unwrap()
    };
    scheduler
        .prefixes
        .graft(&text, 0, (0..tokens / PAGE).map(|_| page()).collect());
    let began = std::time::Instant::now();
    for node in scheduler.prefixes.ranked() {
        let place = &scheduler.spill.as_ref().unwrap().place;
        let dated = Box::new((scheduler.prefixes.kept(node), SystemTime::now()));
        place.write(&dated).unwrap();
    }
    println!("written in {:?}", began.elapsed());
    drop(scheduler);
    for run in 1..=7 {
        let mut scheduler = Scheduler::new(&engine, config.clone());
        let told = Told::default();
        scheduler.submit(job(&text, 1, 1, &told));
        let began = std::time::Instant::now();
        while scheduler.totals().cached == 0 {
            scheduler.step(&|| false);
        }
        let time = began.elapsed();
        println!(
            "run {run}: {} tokens in {time:?}",
            scheduler.totals().restored
        );
        assert_eq!(scheduler.totals().restored, tokens as u64);
    }
}
