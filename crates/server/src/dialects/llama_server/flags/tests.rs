use std::collections::HashMap;
use std::time::Duration;

use hearth_model::Pooling;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::request::{Format, Think};

/// Every spelling that llama-server and llama-cli accept: spellings, values that follow, variable, and the program that
/// alone has it (S the server, C the client).
const SPELLINGS: &str = include_str!("spellings.txt");

/// Values of which every option that is heeded takes one.
const SAMPLES: [&str; 10] = [
    "1", "0.5", "on", "none", "15043-1", "{}", "{{ a }}", "a", "low", "auto",
];

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn parse(arguments: &[&str]) -> Result<Flags, FlagError> {
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    read(&arguments, |_| None, &[])
}

fn heeded(arguments: &[&str]) -> Flags {
    parse(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[test]
fn every_spelling_is_heeded_or_named_or_refused() {
    let mut seen = 0;
    for line in SPELLINGS.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [names, takes, env, who] = cells.as_slice() else {
            panic!("{line}");
        };
        let takes: usize = takes.parse().unwrap();
        for name in words(names) {
            seen += 1;
            let (row, on) = find(&name).unwrap_or_else(|| panic!("{name} is not known"));
            assert_eq!(row.takes, takes, "{name}");
            assert_eq!(row.env, *env, "{name}");
            let is_negative = name.starts_with("--no-")
                || ["-nr", "-nkvo", "-nocb", "-no-kvu", "-no-ag"].contains(&name.as_str());
            assert_eq!(on, !is_negative || name == "--no-host", "{name}");
            let results: Vec<_> = SAMPLES
                .iter()
                .map(|sample| {
                    let arguments: Vec<&str> = [name.as_str()]
                        .into_iter()
                        .chain(vec![*sample; takes])
                        .collect();
                    parse(&arguments)
                })
                .collect();
            match row.effect {
                Effect::Refused(_) if on => {
                    let error = results[0].clone().unwrap_err();
                    assert!(
                        matches!(error, FlagError::Refused { .. }),
                        "{name}: {error}"
                    );
                }
                Effect::Refused(_) => assert_eq!(results[0], Ok(Flags::default()), "{name}"),
                Effect::Nothing(reason) => {
                    let flags = results[0].clone().unwrap();
                    assert_eq!(
                        flags.warnings,
                        [format!("{name} has no effect here: {reason}")]
                    );
                    assert_eq!(
                        Flags {
                            warnings: Vec::new(),
                            ..flags
                        },
                        Flags::default()
                    );
                }
                Effect::Do(_) | Effect::Sampling(_) => {
                    assert!(results.iter().any(Result::is_ok), "{name}: {results:?}");
                }
            }
            if *who == "C" {
                assert!(matches!(row.effect, Effect::Refused(_)), "{name}");
            }
        }
    }
    let known: usize = rows().map(|row| row.names.len() + row.off.len()).sum();
    assert_eq!(seen, known, "the table has spellings that nobody uses");
}

#[test]
fn no_spelling_and_no_variable_stands_twice() {
    let mut all: Vec<String> = rows()
        .flat_map(|row| row.names.iter().chain(row.off))
        .map(|name| (*name).to_owned())
        .chain(rows().filter_map(Row::variable))
        .collect();
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_usual_command_line() {
    let flags = heeded(&[
        "-m",
        "m.gguf",
        "-c",
        "8192",
        "--host",
        "0.0.0.0,/tmp/a.sock",
        "--port",
        "8081",
        "-np",
        "2",
        "--api_key",
        "a,b",
        "--temp",
        "0.2",
        "--top-k",
        "-5",
        "-n",
        "128",
        "--no-slots",
        "--metrics",
        "-a",
        "x,y",
        "-r",
        "\\nUser:",
        "-l",
        "15-inf",
        "--samplers",
        "top_k;temp",
        "--chat-template",
        "chatml",
        "--reasoning-budget-message",
        " STOP",
        "--reasoning-budget",
        "100",
        "--chat-template-kwargs",
        "{\"a\": 1}",
        "--api-prefix",
        "x/",
        "--dry-sequence-breaker",
        "\\n",
        "--dry-sequence-breaker",
        ";",
        "--seed",
        "-1",
        "-ngl",
        "99",
    ]);
    assert_eq!(flags.source, Some(Source::Path("m.gguf".into())));
    assert_eq!(
        (flags.context, flags.port, flags.parallel),
        (Some(8192), 8081, Some(2))
    );
    assert_eq!(flags.hosts, ["0.0.0.0", "/tmp/a.sock"]);
    assert_eq!(flags.api_keys, ["a", "b"]);
    assert_eq!(flags.aliases, ["x", "y"]);
    assert_eq!(flags.prefix, "/x");
    assert!(flags.metrics && !flags.slots);
    assert_eq!(flags.standing.stops, ["\nUser:"]);
    assert_eq!(flags.standing.biases.ids, [(15, f32::NEG_INFINITY)]);
    assert_eq!(
        (
            flags.standing.max_tokens,
            flags.standing.parallel,
            flags.standing.seed
        ),
        (Some(128), 2, None)
    );
    assert_eq!(
        json!(flags.standing.settings),
        json!({"temperature": 0.2, "top_k": 0, "samplers": ["top_k", "temperature"], "dry_sequence_breakers": ["\n", ";"]})
    );
    assert!(
        flags
            .chats
            .template
            .is_some_and(|it| it.contains("<|im_start|>"))
    );
    assert_eq!(flags.chats.budget, Some(100));
    assert_eq!(flags.chats.budget_message, " STOP");
    assert_eq!(flags.chats.variables["a"], 1);
    assert_eq!(
        flags.warnings,
        [
            "-ngl has no effect here: where the model computes is chosen by itself",
            "--dry-sequence-breaker was specified multiple times",
        ]
        .map(str::to_owned)
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
    );
}

#[test]
fn a_file_of_a_repository_in_any_order() {
    for arguments in [
        ["-hf", "u/m", "-hff", "m.gguf"],
        ["-hff", "m.gguf", "-hf", "u/m"],
    ] {
        let source = heeded(&arguments).source;
        assert_eq!(
            source,
            Some(Source::Repository {
                name: "u/m".into(),
                file: Some("m.gguf".into())
            })
        );
    }
}

#[test]
fn values_that_are_words_or_begin_with_a_dash() {
    assert_eq!(heeded(&["-n", "-1"]).standing.max_tokens, None);
    assert_eq!(heeded(&["-n", "0"]).standing.max_tokens, Some(0));
    assert_eq!(heeded(&["-r", "--port"]).standing.stops, ["--port"]);
    assert_eq!(heeded(&["-rea", "off"]).chats.think, Think::Off);
    assert_eq!(heeded(&["-rea", "on"]).chats.think, Think::IfPossible(None));
    assert_eq!(
        heeded(&["--reasoning-effort", "low"]).chats.think,
        Think::IfPossible(Some("low".into()))
    );
    assert_eq!(heeded(&["--sse-ping-interval", "-1"]).standing.ping, None);
    assert_eq!(
        heeded(&["--sleep-idle-seconds", "60"]).idle,
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        heeded(&["--no-escape", "-r", "\\n"]).standing.stops,
        ["\\n"]
    );
    assert_eq!(
        heeded(&["--dry-sequence-breaker", "none"])
            .standing
            .settings["dry_sequence_breakers"],
        json!([])
    );
    assert_eq!(
        heeded(&["-j", "{}"]).standing.format,
        Some(Format::Schema(json!({})))
    );
    assert_eq!(heeded(&["--pooling", "cls"]).pooling, Some(Pooling::Cls));
    assert!(heeded(&["--pooling", "rank"]).rerank);
    for (given, bytes) in [("0", 0), ("3", 3 << 20), ("-1", usize::MAX)] {
        assert_eq!(heeded(&["-cram", given]).history, Some(bytes));
    }
    assert_eq!(
        heeded(&["-a", "\"a,b\",\"c\"\"d\""]).aliases,
        ["a,b", "c\"d"]
    );
    assert_eq!(heeded(&["--list-devices"]).info, Some(Info::Devices));
}

#[test]
fn errors_begin_as_llama_servers_do() {
    for (arguments, text) in [
        (vec!["--oops"], "error: invalid argument: --oops"),
        (vec!["--port=1"], "error: invalid argument: --port=1"),
        (vec!["m.gguf"], "error: invalid argument: m.gguf"),
        (vec!["-c"], "error: expected value for argument -c"),
        (
            vec!["-c", "many"],
            "error while handling argument \"-c\": a whole number was expected, found 'many'",
        ),
        (
            vec!["--port", "70000"],
            "error while handling argument \"--port\": a number from 0 to 65535 was expected, found 70000",
        ),
        (
            vec!["--repeat-last-n", "-1"],
            "error while handling argument \"--repeat-last-n\": Field 'repeat_last_n': Value must be between 0 <= value <= 2147483647, but got -1",
        ),
        (
            vec!["--pooling", "max"],
            "error while handling argument \"--pooling\": one of none, mean, cls, last, rank was expected, found 'max'",
        ),
        (
            vec!["--draft-max", "3"],
            "error: --draft-max is not supported: it was removed: write --spec-draft-n-max",
        ),
    ] {
        assert_eq!(parse(&arguments).unwrap_err().to_string(), text);
    }
}

#[test]
fn the_strongest_layer_wins() {
    let environment: HashMap<&str, &str> = HashMap::from([
        ("LLAMA_ARG_PORT", "9000"),
        ("LLAMA_ARG_CTX_SIZE", "4096"),
        ("LLAMA_ARG_NO_ENDPOINT_SLOTS", ""),
        ("LLAMA_ARG_ENDPOINT_METRICS", "on"),
        ("LLAMA_ARG_ENDPOINT_PROPS", "off"),
        ("LLAMA_API_KEY", "k"),
        ("HF_TOKEN", "t"),
    ]);
    let files = [
        "version = 1\nc = 1\ntop-k = 7\n[other]\ntop-p = 0.1\n[*]\nmetrics = off\nLLAMA_ARG_ALIAS = z\nno-context-shift = off\n; n = 1\nzzz = 1\n",
        "top-k = 8\nn = 5\nr = a\nr = b\n",
    ];
    let arguments = words("--port 1");
    let flags = read(
        &arguments,
        |name| environment.get(name).map(|it| (*it).to_owned()),
        &files,
    )
    .unwrap();
    assert_eq!((flags.port, flags.context), (1, Some(4096)));
    assert!(!flags.slots && flags.metrics && !flags.props && flags.standing.shift);
    assert_eq!(
        (flags.api_keys, flags.hub_token),
        (vec!["k".to_owned()], Some("t".to_owned()))
    );
    assert_eq!(flags.aliases, ["z"]);
    assert_eq!(flags.standing.max_tokens, Some(5));
    assert_eq!(flags.standing.stops, ["a", "b"]);
    assert_eq!(json!(flags.standing.settings), json!({"top_k": 7}));
    assert_eq!(
        flags.warnings,
        ["LLAMA_ARG_PORT gives way to the command line"]
    );

    let bad = |name: &str| (name == "LLAMA_ARG_ENDPOINT_SLOTS").then(|| "perhaps".to_owned());
    assert_eq!(
        read(&[], bad, &[]).unwrap_err().to_string(),
        "error while handling environment variable \"LLAMA_ARG_ENDPOINT_SLOTS\": on or off was expected, found 'perhaps'"
    );
}

proptest! {
    #[test]
    fn no_command_line_panics(
        arguments in prop::collection::vec(prop_oneof![
            prop::sample::select(rows().flat_map(|row| row.names.iter().chain(row.off)).map(|it| (*it).to_owned()).collect::<Vec<_>>()),
            prop::sample::select(SAMPLES.map(str::to_owned).to_vec()),
            ".{0,8}",
        ], 0..8),
        file in "([a-z-]{0,8}( = )?[a-z0-9\\[\\]*\"]{0,4}\n){0,4}",
    ) {
        let _ = read(&arguments, |name| name.ends_with('S').then(|| "1".to_owned()), &[&file]);
    }
}
