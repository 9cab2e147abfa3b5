use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

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
            breakers: serde_json::from_value(step[5].clone()).unwrap(),
        }),
        other => panic!("no sampler {other}"),
    }
}

/// Survivors, most likely first.
fn survivors(c: &mut Candidates) -> (Vec<u32>, Vec<f32>) {
    c.softmax();
    c.sort_first(c.len());
    (
        c.list.iter().map(|c| c.id).collect(),
        c.list.iter().map(|c| c.probability).collect(),
    )
}

fn assert_close(name: &str, got: &(Vec<u32>, Vec<f32>), case: &Value, tolerance: f32) {
    let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
    let probs: Vec<f32> = serde_json::from_value(case["probs"].clone()).unwrap();
    assert_eq!(got.0, ids, "{name}");
    for (got, want) in got.1.iter().zip(&probs) {
        assert!(
            (got - want).abs() <= tolerance,
            "{name}: {got} and not {want}"
        );
    }
}

#[test]
fn every_case_of_the_kit_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance/sampling/cases.json");
    let Ok(text) = std::fs::read(&path) else {
        println!("skipped: no ../shared");
        return;
    };
    let kit: Value = serde_json::from_slice(&text).unwrap();
    let tolerance = number(&kit["tolerance"]);
    let logits = |case: &Value| -> Vec<f32> {
        serde_json::from_value(kit["vectors"][case["logits"].as_str().unwrap()].clone()).unwrap()
    };
    let place = Place {
        seed: 1,
        position: 0,
    };
    let cases = kit["cases"].as_array().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let history: Vec<u32> = serde_json::from_value(case["prev"].clone()).unwrap();
        let mut c = Candidates::default();
        c.fill(&logits(case));
        case["chain"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|step| sampler(step).apply(&mut c, &history, place));
        assert_close(name, &survivors(&mut c), case, tolerance);
    }
    assert_eq!(cases.len(), 180);
    for case in kit["mirostat2"].as_array().unwrap() {
        let logits = logits(case);
        let mut mirostat = Mirostat::new(Version::Two, number(&case["tau"]), number(&case["eta"]));
        mirostat.mu = number(&case["mu"]);
        let mut c = Candidates::default();
        c.fill(&logits);
        mirostat.cut(&mut c, logits.len());
        assert_close("mirostat 2", &survivors(&mut c), case, tolerance);
        for step in case["steps"].as_array().unwrap() {
            let mut mirostat = mirostat;
            let chosen = c
                .list
                .iter()
                .find(|c| u64::from(c.id) == step["chosen"].as_u64().unwrap())
                .unwrap();
            mirostat.chosen(chosen.probability);
            assert!(
                (mirostat.mu - number(&step["mu_after"])).abs() < 1e-4,
                "{step}: {}",
                mirostat.mu
            );
        }
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
    let top = top_logprobs(&logits, 2);
    assert_eq!((top[0].0, top[1].0, top.len()), (1, 3, 2));
    let sum: f32 = top_logprobs(&logits, 9).iter().map(|(_, l)| l.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
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

proptest! {
    #[test]
    fn any_logits_and_settings_give_an_allowed_token(
        logits in prop::collection::vec(prop_oneof![8 => -30f32..30.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(f32::NEG_INFINITY)], 1..300),
        history in prop::collection::vec(0u32..320, 0..100),
        (temperature, range, top_k, top_p, min_p, typical_p) in (-1f32..3.0, 0f32..1.0, 0usize..60, 0f32..1.2, -0.1f32..1.0, 0f32..1.2),
        (top_n_sigma, xtc_probability, xtc_threshold, min_keep) in (-1f32..4.0, 0f32..1.0, 0f32..0.6, 0usize..5),
        (repeat_penalty, dry_multiplier, dry_base, mirostat) in (0.1f32..3.0, 0f32..3.0, 0.5f32..3.0, prop::option::of(prop_oneof![Just(Version::One), Just(Version::Two)])),
        seed in any::<u64>(),
    ) {
        let settings = Settings {
            temperature, dynatemp_range: range, top_k, top_p, min_p, typical_p, top_n_sigma, xtc_probability, xtc_threshold, min_keep,
            repeat_penalty, dry_multiplier, dry_base, mirostat, ..Settings::default()
        };
        let sample = || Chain::new(&settings, vec![vec![3], vec![4, 5]], seed).sample(&logits, &history, None);
        let choice = sample();
        prop_assert_eq!(choice, sample());
        match choice {
            Some(c) => {
                prop_assert!(logits[c.id as usize] > f32::NEG_INFINITY, "{c:?}");
                prop_assert!(c.probability > 0.0 && c.probability <= 1.0 + 1e-5, "{c:?}");
            }
            None => prop_assert!(logits.iter().all(|l| l.is_nan() || *l == f32::NEG_INFINITY)),
        }
    }
}
