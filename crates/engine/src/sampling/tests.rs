use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const START: Place = Place {
    seed: 1,
    position: 0,
};

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn sampler(step: &Value) -> Sampler {
    let float = |i: usize| number(&step[i]);
    let count = |i: usize| step[i].as_u64().unwrap_or(0) as usize;
    match step[0].as_str().unwrap() {
        "temp" => Sampler::Temperature {
            value: float(1),
            range: 0.0,
            exponent: 1.0,
        },
        "temp_ext" => Sampler::Temperature {
            value: float(1),
            range: float(2),
            exponent: float(3),
        },
        "top_k" => Sampler::TopK(count(1)),
        "top_p" => Sampler::TopP {
            p: float(1),
            min_keep: count(2),
        },
        "min_p" => Sampler::MinP {
            p: float(1),
            min_keep: count(2),
        },
        "typical" => Sampler::Typical {
            p: float(1),
            min_keep: count(2),
        },
        "top_n_sigma" => Sampler::TopNSigma(float(1)),
        "xtc" => Sampler::Xtc {
            probability: float(1),
            threshold: float(2),
            min_keep: count(3),
        },
        "penalties" => Sampler::Penalties {
            last_n: count(1),
            repeat: float(2),
            frequency: float(3),
            presence: float(4),
        },
        "dry" => Sampler::Dry(Dry {
            multiplier: float(1),
            base: float(2),
            allowed_length: count(3),
            last_n: count(4),
            breakers: serde_json::from_value::<Vec<Vec<u32>>>(step[5].clone())
                .unwrap()
                .into(),
        }),
        other => panic!("no sampler {other}"),
    }
}

type Shares = (Vec<u32>, Vec<f32>);

/// Survivors, most likely first.
fn shares(c: &mut Candidates) -> Shares {
    c.softmax();
    c.sort_first(usize::MAX);
    let list = c.survivors().iter();
    list.map(|c| (c.id, c.probability)).unzip()
}

fn assert_close(name: &str, got: &Shares, case: &Value, tolerance: f32) {
    let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
    let probs: Vec<f32> = serde_json::from_value(case["probs"].clone()).unwrap();
    assert_eq!(got.0, ids, "{name}");
    for (got, want) in got.1.iter().zip(&probs) {
        assert!(
            (got - want).abs() <= tolerance * want,
            "{name}: {got} and not {want}"
        );
    }
}

/// How many cases of each kind hold.
fn assert_kit(text: &[u8]) -> (usize, usize) {
    let kit: Value = serde_json::from_slice(text).unwrap();
    let tolerance = number(&kit["tolerance"]);
    let logits = |case: &Value| -> Vec<f32> {
        serde_json::from_value(kit["vectors"][case["logits"].as_str().unwrap()].clone()).unwrap()
    };
    let cases = kit["cases"].as_array().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let history: Vec<u32> = serde_json::from_value(case["prev"].clone()).unwrap();
        let mut c = Candidates::new(&logits(case), None);
        for step in case["chain"].as_array().unwrap() {
            sampler(step).apply(&mut c, &history, START);
        }
        assert_close(name, &shares(&mut c), case, tolerance);
    }
    let mirostats = kit["mirostat2"].as_array().unwrap();
    for case in mirostats {
        let mut start = Mirostat::new(Version::Two, number(&case["tau"]), number(&case["eta"]));
        start.mu = number(&case["mu"]);
        let mut c = Candidates::new(&logits(case), None);
        start.cut(&mut c, 0);
        assert_close("mirostat 2", &shares(&mut c), case, tolerance);
        for step in case["steps"].as_array().unwrap() {
            let mut after = start;
            let is_chosen = |c: &&Candidate| Some(u64::from(c.id)) == step["chosen"].as_u64();
            after.chosen(c.survivors().iter().find(is_chosen).unwrap().probability);
            let want = number(&step["mu_after"]);
            assert!(
                (after.mu - want).abs() <= tolerance * want,
                "{step}: {}",
                after.mu
            );
        }
    }
    (cases.len(), mirostats.len())
}

#[test]
fn cases_of_the_reference_hold() {
    assert_eq!(
        assert_kit(include_bytes!("../../testdata/sampling.json")),
        (20, 3)
    );
}

#[test]
fn every_case_of_the_kit_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance/sampling/cases.json");
    match std::fs::read(&path) {
        Ok(text) => assert_eq!(assert_kit(&text), (180, 12)),
        Err(_) => println!("skipped: no ../shared"),
    }
}

#[test]
fn cases_by_hand() {
    let logits = [1.0, 3.0, 2.0, 3.0, f32::NAN, f32::NEG_INFINITY];
    let greedy = Settings {
        temperature: 0.0,
        ..Settings::default()
    };
    let chosen = |settings: &Settings, history: &[u32], allowed: Option<&[u32]>| {
        Chain::new(settings, vec![], 1)
            .sample(&logits, history, allowed)
            .map(|c| c.id)
    };
    assert_eq!(
        chosen(&greedy, &[], None),
        Some(1),
        "ties go to the lower id"
    );
    assert_eq!(
        chosen(
            &Settings {
                repeat_penalty: 2.0,
                ..greedy.clone()
            },
            &[1, 3],
            None
        ),
        Some(2)
    );
    assert_eq!(
        chosen(
            &Settings {
                logit_bias: vec![(0, 9.0), (99, 1.0)],
                ..greedy.clone()
            },
            &[],
            None
        ),
        Some(0)
    );
    assert_eq!(
        chosen(&greedy, &[], Some(&[0b100101])),
        Some(2),
        "the mask decides first"
    );
    assert_eq!(chosen(&greedy, &[], Some(&[0])), None);
}

/// Logits whose results were worked out by hand from the definitions.
const WORKED: [f32; 6] = [3.0, 2.0, 1.5, 0.0, -1.0, -4.0];

#[test]
fn mirostat_1_estimates_how_many() {
    let mut mirostat = Mirostat::new(Version::One, 5.0, 0.1);
    // The slope is 2.587443: k = ((1.587443 · 2^μ) / (1 - 6^-1.587443))^(1 / 2.587443)
    for (mu, k) in [(10.0, 6), (5.0, 4), (4.0, 3), (3.0, 2), (1.0, 1)] {
        mirostat.mu = mu;
        let mut c = Candidates::new(&WORKED, None);
        mirostat.cut(&mut c, WORKED.len());
        assert_eq!(c.len(), k, "{mu}");
    }
    mirostat.mu = 10.0;
    mirostat.chosen(0.25);
    assert!((mirostat.mu - 10.3).abs() < 1e-6);
}

#[test]
fn adaptive_p_follows_its_target() {
    let mut adaptive = Adaptive::new(0.3, 0.9);
    let preferred = |adaptive: &Adaptive| {
        let mut c = Candidates::new(&WORKED, None);
        adaptive.prefer(&mut c);
        c
    };
    let mut c = preferred(&adaptive);
    let want = [0.008365, 0.767252, 0.185138, 0.018556, 0.011684, 0.009006];
    for (got, want) in c.survivors().iter().zip(want) {
        assert!((got.probability - want).abs() < 2e-6, "{got:?} {want}");
    }
    let share = c.share(WORKED[1]);
    assert!((share - 0.221611).abs() < 1e-6);
    adaptive.chosen(share);
    assert!((adaptive.wanted() - 0.307839).abs() < 1e-6);

    let off = preferred(&Adaptive::new(-1.0, 0.9)).list[0].probability;
    assert!((off - 0.602401).abs() < 1e-6, "plain shares: {off}");
    let settings = Settings {
        samplers: parse_order("adaptive_p;top_k").unwrap(),
        top_k: 1,
        adaptive_target: 0.1,
        ..Settings::default()
    };
    let choice = Chain::new(&settings, vec![], 1).sample(&WORKED, &[], None);
    assert_eq!(
        choice.map(|c| c.id),
        Some(0),
        "it chooses from what is left"
    );
}

#[test]
fn dry_finds_the_longest_repetition() {
    let (a, b, c, y) = (0, 1, 2, 3);
    let history = [a, b, c, c, b, c, y, a, b, c];
    for (breakers, want) in [
        (vec![], [0.0, 0.0, -1.4, -0.8]),
        (vec![vec![y]], [0.0, 0.0, -1.4, 0.0]),
        (vec![vec![b]], [0.0; 4]),
    ] {
        let mut candidates = Candidates::new(&[0.0; 4], None);
        let dry = Dry {
            multiplier: 0.8,
            base: 1.75,
            allowed_length: 2,
            last_n: 64,
            breakers: breakers.into(),
        };
        Sampler::Dry(dry).apply(&mut candidates, &history, START);
        let got: Vec<f32> = candidates.survivors().iter().map(|c| c.logit).collect();
        let near = got
            .iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() < 1e-6);
        assert!(near, "{got:?} {want:?}");
    }
}

#[test]
fn breakers_are_cut_at_tokens() {
    let pieces: [&[u8]; 6] = [b"a", b"\n", b"x\n\n", b"END", b"xE", b"ND"];
    let encode = |text: &str| text.bytes().map(u32::from).collect();
    let found = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
        breakers(&texts, pieces, encode)
    };
    assert_eq!(found(&["\n"]), [[1], [2]]);
    assert_eq!(found(&["END"]), [vec![3], vec![4, 78, 68]]);
    assert_eq!(found(&["", "é"]), Vec::<Vec<u32>>::new());
    assert_eq!(found(&[&"é".repeat(50)]), Vec::<Vec<u32>>::new());
}

#[test]
fn logprobs_are_of_the_whole_vocabulary() {
    let logits = [1.0, 3.0, 2.0, 3.0, f32::NAN, f32::NEG_INFINITY];
    let logprobs = Logprobs::new(&logits);
    let top = logprobs.top(9);
    assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3, 2, 0]);
    let sum: f32 = top.iter().map(|(_, l)| l.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    assert_eq!(logprobs.top(1), [(1, logprobs.of(3))]);
    assert_eq!(logprobs.top(0), []);
    for impossible in [4, 5, 6] {
        assert_eq!(logprobs.of(impossible), f32::MIN);
    }
    assert_eq!(Logprobs::new(&[]).top(3), []);
    assert_eq!(Logprobs::new(&[f32::INFINITY, 0.0]).of(0), 0.0);
}

#[test]
fn orders_are_read() {
    assert_eq!(
        parse_order("edskypmxt").unwrap(),
        Settings::default().samplers
    );
    assert_eq!(
        parse_order("Top-K; typical;temp").unwrap(),
        [Name::TopK, Name::Typical, Name::Temperature]
    );
    assert_eq!(parse_order("").unwrap(), []);
    assert!(
        parse_order("top_k;nonsense")
            .unwrap_err()
            .to_string()
            .contains("'nonsense' is no sampler")
    );
    assert!(parse_order("kz").is_err());
    assert_eq!(parse_order("Adaptive-P").unwrap(), [Name::AdaptiveP]);
}

#[test]
fn a_sampled_distribution_is_the_distribution() {
    let logits = [0.0f32, 1.0, 2.0];
    let settings = Settings {
        temperature: 1.0,
        top_p: 1.0,
        min_p: 0.0,
        ..Settings::default()
    };
    let mut counts = [0u32; 3];
    let mut chain = Chain::new(&settings, vec![], 42);
    let mut history = Vec::new();
    for _ in 0..20_000 {
        counts[chain.sample(&logits, &history, None).unwrap().id as usize] += 1;
        history.push(0);
    }
    let sum: f32 = logits.iter().map(|l| l.exp()).sum();
    for (count, logit) in counts.iter().zip(logits) {
        let (got, want) = (*count as f32 / 20_000.0, logit.exp() / sum);
        assert!((got - want).abs() < 0.01, "{got} {want}");
    }
}

#[test]
fn threads_and_batches_change_nothing() {
    let settings = Settings {
        xtc_probability: 0.5,
        ..Settings::default()
    };
    let row = |position: u64| -> Vec<f32> {
        let random = |id| random::uniform(9, position << 32 | id, Purpose::Token);
        (0..2000).map(|id| random(id) as f32 * 12.0).collect()
    };
    let step = |chain: &mut Chain, history: &mut Vec<u32>| {
        let logits = row(history.len() as u64);
        history.push(chain.sample(&logits, history, None).unwrap().id);
    };
    let alone = |seed| {
        let (mut chain, mut history) = (Chain::new(&settings, vec![], seed), vec![]);
        (0..40).for_each(|_| step(&mut chain, &mut history));
        history
    };
    let texts: Vec<Vec<u32>> = (0..4).map(alone).collect();
    assert_ne!(texts[0], texts[1]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| scope.spawn(move || alone(seed)))
            .collect();
        for (thread, text) in threads.into_iter().zip(&texts) {
            assert_eq!(&thread.join().unwrap(), text);
        }
    });
    let mut batch: Vec<_> = (0..4)
        .map(|seed| (Chain::new(&settings, vec![], seed), vec![]))
        .collect();
    for _ in 0..40 {
        batch
            .iter_mut()
            .rev()
            .for_each(|(chain, history)| step(chain, history));
    }
    assert!(batch.into_iter().map(|(_, text)| text).eq(texts));
}

/// What samplers keep, by sorting everything.
fn by_sorting(
    logits: &[f32],
    order: impl Fn(f32) -> f64,
    reached: impl Fn(usize, f64) -> bool,
) -> Vec<u32> {
    let mut c = Candidates::new(logits, None);
    c.softmax();
    let mut list = c.list;
    list.sort_by(|a, b| {
        let ordered = order(a.logit).total_cmp(&order(b.logit));
        ordered
            .then(b.logit.total_cmp(&a.logit))
            .then(a.id.cmp(&b.id))
    });
    let mut sum = 0.0;
    let end = list.iter().enumerate().position(|(i, c)| {
        sum += f64::from(c.probability);
        reached(i + 1, sum)
    });
    list.truncate(end.map_or(list.len(), |end| end + 1));
    list.iter().map(|c| c.id).collect()
}

fn sorted(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids
}

/// More than the selections take at once, spread or in ties.
fn vocabularies() -> impl Strategy<Value = Vec<f32>> {
    let sizes = prop_oneof![1usize..300, 2000usize..9000];
    (sizes, 0f32..30.0, any::<u64>(), prop::option::of(1u32..40)).prop_map(
        |(size, spread, seed, ties)| {
            let logit = |id| {
                let uniform = random::uniform(seed, id, Purpose::Token) as f32;
                ties.map_or(uniform, |ties| (uniform * ties as f32).floor()) * spread
            };
            (0..size as u64).map(logit).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn selection_keeps_what_sorting_keeps(logits in vocabularies(), k in 1usize..900, p in 0f32..1.0, min_keep in 0usize..200, at in 0f64..1.0) {
        let kept = |sampler: Sampler| {
            let mut c = Candidates::new(&logits, None);
            sampler.apply(&mut c, &[], START);
            sorted(c.survivors().iter().map(|c| c.id).collect())
        };
        let likely = |logit: f32| -f64::from(logit);
        prop_assert_eq!(kept(Sampler::TopK(k)), sorted(by_sorting(&logits, likely, |n, _| n >= k)));
        // Sums in another order differ by their rounding.
        let enough = |p: f32, n: usize, sum: f64| sum >= f64::from(p) && n >= min_keep;
        let near = |p: f32, keep: &dyn Fn(f32) -> Vec<u32>, got: Vec<u32>| {
            let (few, many) = (keep(p - 1e-7).len(), keep(p + 1e-7).len());
            let mut want = keep(p);
            if few != many {
                want.truncate(got.len());
            }
            (few..=many).contains(&got.len()) && (few != many || got == sorted(want))
        };
        let top_p = |p: f32| by_sorting(&logits, likely, |n, sum| enough(p, n, sum));
        let kept_by_top_p = kept(Sampler::TopP { p, min_keep });
        prop_assert!(near(p, &top_p, kept_by_top_p));
        let mut c = Candidates::new(&logits, None);
        c.softmax();
        let center: f64 = c.list.iter().map(|c| f64::from(c.probability) * f64::from(c.logit)).sum();
        let typical = |p: f32| by_sorting(&logits, |l| (f64::from(l) - center).abs(), |n, sum| enough(p, n, sum));
        let kept_by_typical = kept(Sampler::Typical { p, min_keep });
        prop_assert!(near(p, &typical, kept_by_typical));
        let drawn = c.draw(at).unwrap().id;
        let line = |at: f64| by_sorting(&logits, likely, |_, sum| sum >= at).len();
        let line = by_sorting(&logits, likely, |_, _| false)[line(at - 1e-6) - 1..line(at + 1e-6)].to_vec();
        prop_assert!(line.contains(&drawn), "{drawn} {line:?}");
    }
}

proptest! {
    #[test]
    fn any_logits_and_settings_give_an_allowed_token(
        logits in prop::collection::vec(prop_oneof![8 => -30f32..30.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(f32::NEG_INFINITY)], 1..300),
        history in prop::collection::vec(0u32..320, 0..100),
        (temperature, range, top_k, top_p, min_p, typical_p) in (-1f32..3.0, 0f32..1.0, 0usize..60, 0f32..1.2, -0.1f32..1.0, 0f32..1.2),
        (top_n_sigma, xtc_probability, xtc_threshold, min_keep) in (-1f32..4.0, 0f32..1.0, 0f32..0.6, 0usize..5),
        (repeat_penalty, dry_multiplier, dry_base, mirostat) in (0.1f32..3.0, 0f32..3.0, 0.5f32..3.0, prop::option::of(prop_oneof![Just(Version::One), Just(Version::Two)])),
        (target, decay, wild) in (-1f32..1.0, 0f32..1.0, prop::option::of((0usize..14, prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(0.0), Just(-1e30f32), Just(1e30)]))),
        (mask, order) in (prop::option::of(prop::collection::vec(any::<u32>(), 0..10)), prop_oneof![Just("edskypmxt"), Just("edskypmxta"), Just("txmpyksde"), Just("")]),
        seed in any::<u64>(),
    ) {
        let mut settings = Settings {
            temperature, dynatemp_range: range, top_k, top_p, min_p, typical_p, top_n_sigma, xtc_probability, xtc_threshold, min_keep,
            repeat_penalty, dry_multiplier, dry_base, mirostat, adaptive_target: target, adaptive_decay: decay,
            samplers: parse_order(order).unwrap(), ..Settings::default()
        };
        if let Some((which, value)) = wild {
            *[
                &mut settings.temperature, &mut settings.dynatemp_range, &mut settings.dynatemp_exponent, &mut settings.top_p, &mut settings.min_p,
                &mut settings.typical_p, &mut settings.top_n_sigma, &mut settings.xtc_threshold, &mut settings.repeat_penalty,
                &mut settings.frequency_penalty, &mut settings.dry_multiplier, &mut settings.dry_base, &mut settings.mirostat_tau,
                &mut settings.adaptive_target,
            ][which] = value;
        }
        let is_allowed = |id: usize| mask.as_ref().is_none_or(|m| m.get(id / 32).is_some_and(|w| w >> (id % 32) & 1 == 1));
        let run = || {
            let mut chain = Chain::new(&settings, vec![vec![3], vec![4, 5], vec![]], seed);
            let first = chain.sample(&logits, &history, mask.as_deref());
            let sum: f32 = chain.drawn_from(usize::MAX).iter().map(|c| c.probability).sum();
            (first, sum, chain.sample(&logits, &history, mask.as_deref()).is_some())
        };
        let (choice, sum, second) = run();
        prop_assert_eq!(choice, run().0);
        prop_assert_eq!(choice.is_some(), second);
        match choice {
            Some(c) => {
                prop_assert!(logits[c.id as usize] > f32::NEG_INFINITY && is_allowed(c.id as usize), "{c:?}");
                prop_assert!(c.probability > 0.0 && c.probability <= 1.0 + 1e-5, "{c:?}");
                prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            }
            None => prop_assert!(logits.iter().enumerate().all(|(id, l)| l.is_nan() || *l == f32::NEG_INFINITY || !is_allowed(id))),
        }
    }
}
