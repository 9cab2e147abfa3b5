//! Options of sampling: what holds for requests that do not say it.

use std::path::PathBuf;

use serde_json::Value;

use super::given::Given;
use super::{Effect, Flags, Row, plain, takes};
use crate::core::request::Format;
use crate::dialects::llama_server::sampling::order;

use Effect::{Do, Nothing, Sampling};

pub(super) const ROWS: &[Row] = &[
    takes(&["--samplers"], "", Do(samplers)),
    takes(&["-s", "--seed"], "", Do(seed)),
    takes(&["--sampler-seq", "--sampling-seq"], "", Do(letters)),
    plain(
        &["--ignore-eos"],
        "",
        Do(|flags, _| {
            flags.standing.ignore_end = true;
            Ok(())
        }),
    ),
    takes(
        &["--temp", "--temperature"],
        "TEMPERATURE",
        Sampling("temperature"),
    ),
    takes(&["--top-k"], "TOP_K", Sampling("top_k")),
    takes(&["--top-p"], "TOP_P", Sampling("top_p")),
    takes(&["--min-p"], "MIN_P", Sampling("min_p")),
    takes(
        &["--top-nsigma", "--top-n-sigma"],
        "",
        Sampling("top_n_sigma"),
    ),
    takes(&["--xtc-probability"], "", Sampling("xtc_probability")),
    takes(&["--xtc-threshold"], "", Sampling("xtc_threshold")),
    takes(&["--typical", "--typical-p"], "", Sampling("typical_p")),
    takes(&["--repeat-last-n"], "", Sampling("repeat_last_n")),
    takes(
        &["--repeat-penalty"],
        "REPEAT_PENALTY",
        Sampling("repeat_penalty"),
    ),
    takes(
        &["--presence-penalty"],
        "PRESENCE_PENALTY",
        Sampling("presence_penalty"),
    ),
    takes(
        &["--frequency-penalty"],
        "FREQUENCY_PENALTY",
        Sampling("frequency_penalty"),
    ),
    takes(&["--dry-multiplier"], "", Sampling("dry_multiplier")),
    takes(&["--dry-base"], "", Sampling("dry_base")),
    takes(
        &["--dry-allowed-length"],
        "",
        Sampling("dry_allowed_length"),
    ),
    takes(
        &["--dry-penalty-last-n"],
        "",
        Sampling("dry_penalty_last_n"),
    ),
    takes(&["--dry-sequence-breaker"], "", Do(breaker)),
    takes(&["--adaptive-target"], "", Sampling("adaptive_target")),
    takes(&["--adaptive-decay"], "", Do(decay)),
    takes(&["--dynatemp-range"], "", Sampling("dynatemp_range")),
    takes(&["--dynatemp-exp"], "", Sampling("dynatemp_exponent")),
    takes(&["--mirostat"], "", Sampling("mirostat")),
    takes(&["--mirostat-lr"], "", Sampling("mirostat_eta")),
    takes(&["--mirostat-ent"], "", Sampling("mirostat_tau")),
    takes(&["-l", "--logit-bias"], "", Do(bias)),
    takes(
        &["--grammar"],
        "",
        Do(|flags, given| {
            flags.standing.format = Some(Format::Gbnf(given.text().to_owned()));
            Ok(())
        }),
    ),
    takes(
        &["--grammar-file"],
        "",
        Do(|flags, given| {
            flags.grammar_file = Some(PathBuf::from(given.text()));
            Ok(())
        }),
    ),
    takes(&["-j", "--json-schema"], "", Do(schema)),
    takes(
        &["-jf", "--json-schema-file"],
        "",
        Do(|flags, given| {
            flags.schema_file = Some(PathBuf::from(given.text()));
            Ok(())
        }),
    ),
    plain(
        &["-bs", "--backend-sampling"],
        "BACKEND_SAMPLING",
        Nothing("where samplers run is chosen by itself"),
    ),
];

fn samplers(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let names = given
        .text()
        .split(';')
        .filter(|name| !name.trim().is_empty());
    set_order(
        flags,
        names.map(|name| Value::from(name.trim())).collect(),
        given,
    )
}

fn letters(flags: &mut Flags, given: &Given) -> Result<(), String> {
    set_order(flags, Value::from(given.text()), given)
}

fn set_order(flags: &mut Flags, value: Value, given: &Given) -> Result<(), String> {
    let order =
        order(&given.name, value, &mut flags.warnings).map_err(|failure| failure.to_string())?;
    flags.standing.settings.insert("samplers".to_owned(), order);
    Ok(())
}

/// -1 and 4294967295 are by chance.
fn seed(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let seed = given.whole(-1, i64::from(u32::MAX))?;
    flags.standing.seed = u64::try_from(seed)
        .ok()
        .filter(|seed| *seed != u64::from(u32::MAX));
    Ok(())
}

/// The first one clears the default ones; `none` leaves no breakers.
fn breaker(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let list = flags.breakers.get_or_insert_default();
    if given.text() != "none" {
        list.push(given.text().to_owned());
    }
    Ok(())
}

/// A request's decay is refused outside its range; here it is moved into it.
fn decay(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let decay = given.real()?.clamp(0.0, 0.99);
    flags
        .standing
        .settings
        .insert("adaptive_decay".to_owned(), Value::from(decay));
    Ok(())
}

/// `15043+1`, `15043-1.5`, `15043-inf`.
fn bias(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let text = given.text();
    let parsed = text.find(['+', '-']).and_then(|at| {
        let (id, bias) = text.split_at(at);
        Some((id.parse::<u32>().ok()?, bias.parse::<f32>().ok()?))
    });
    match parsed.filter(|(_, bias)| !bias.is_nan()) {
        Some(pair) => {
            flags.standing.biases.ids.push(pair);
            Ok(())
        }
        None => Err(format!(
            "a token, a sign and a number were expected (15043-1), found '{text}'"
        )),
    }
}

fn schema(flags: &mut Flags, given: &Given) -> Result<(), String> {
    let schema: Value =
        serde_json::from_str(given.text()).map_err(|error| format!("no JSON schema: {error}"))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(format!("a JSON schema was expected, found {schema}"));
    }
    flags.standing.format = Some(Format::Schema(schema));
    Ok(())
}
