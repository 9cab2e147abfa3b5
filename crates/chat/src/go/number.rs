//! Numbers with the verbs of `printf`.

use super::budget::Sink;
use super::print::Spec;
use super::quote::{printable, quoted_char};
use crate::error::Result;

/// Digits of a number printed by `%f` and `%e` where none are asked for.
const PRECISION: usize = 6;

/// Writes a whole number; `false` where the verb is none of its own.
pub(super) fn write_int(out: &mut Sink, spec: &Spec, verb: char, value: i64) -> Result<bool> {
    let size = value.unsigned_abs();
    let (digits, prefix) = match verb {
        'd' | 'v' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), "0b"),
        'o' | 'O' => (format!("{size:o}"), "0"),
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        'c' | 'q' | 'U' => {
            write_character(out, spec, verb, value)?;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    let sign = sign(value < 0, spec);
    let least = match spec.precision {
        Some(0) if value == 0 => {
            // Nothing at all, in its column.
            Spec {
                zero: false,
                ..*spec
            }
            .pad(out, b"")?;
            return Ok(true);
        }
        Some(precision) => precision,
        None if spec.zero && !spec.minus => spec.width.unwrap_or(0).saturating_sub(sign.len()),
        None => 0,
    };
    let zeros = "0".repeat(least.saturating_sub(digits.len()));
    let prefix = match verb {
        'O' => "0o",
        'o' if spec.sharp && zeros.is_empty() && !digits.starts_with('0') => "0",
        'b' | 'x' | 'X' if spec.sharp => prefix,
        _ => "",
    };
    let text = format!("{sign}{prefix}{zeros}{digits}");
    Spec {
        zero: false,
        ..*spec
    }
    .pad(out, text.as_bytes())?;
    Ok(true)
}

/// `%c`, `%q` and `%U`: the number of a character.
fn write_character(out: &mut Sink, spec: &Spec, verb: char, value: i64) -> Result<()> {
    let known = u32::try_from(value).ok().and_then(char::from_u32);
    let c = known.unwrap_or(char::REPLACEMENT_CHARACTER);
    let text = match verb {
        'c' => c.to_string(),
        'q' => quoted_char(c, spec),
        _ => {
            let digits = spec.precision.unwrap_or(4).max(4);
            let shown = known.filter(|&c| spec.sharp && printable(c));
            let shown = shown.map_or(String::new(), |c| format!(" '{c}'"));
            let code = format!("{value:X}");
            format!(
                "U+{}{code}{shown}",
                "0".repeat(digits.saturating_sub(code.len()))
            )
        }
    };
    let zero = spec.zero && verb != 'U';
    Spec { zero, ..*spec }.pad(out, text.as_bytes())
}

/// Writes a fraction; `false` where the verb is none of its own. The hexadecimal forms are not
/// among those, and `#` has no effect.
pub(super) fn write_float(out: &mut Sink, spec: &Spec, verb: char, value: f64) -> Result<bool> {
    let size = value.abs();
    let digits = match verb {
        'v' => general(size, None),
        'g' | 'G' => general(size, spec.precision),
        'e' | 'E' => scientific(size, spec.precision.unwrap_or(PRECISION)),
        'f' | 'F' => format!("{size:.*}", spec.precision.unwrap_or(PRECISION)),
        _ => return Ok(false),
    };
    let digits = if verb.is_ascii_uppercase() {
        digits.to_ascii_uppercase()
    } else {
        digits
    };
    let sign = sign(value.is_sign_negative(), spec);
    let text = if spec.zero && !spec.minus {
        let room = spec.width.unwrap_or(0);
        let zeros = room.saturating_sub(sign.len() + digits.len());
        format!("{sign}{}{digits}", "0".repeat(zeros))
    } else {
        format!("{sign}{digits}")
    };
    spec.pad(out, text.as_bytes())?;
    Ok(true)
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match negative {
        true => "-",
        false if spec.plus => "+",
        false if spec.space => " ",
        false => "",
    }
}

/// `1.500000e+06`
fn scientific(size: f64, precision: usize) -> String {
    exponent(&format!("{size:.precision$e}"))
}

/// Rust's exponent in Go's form: with its sign, and two digits at least.
fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    match power.strip_prefix('-') {
        Some(power) => format!("{digits}e-{power:0>2}"),
        None => format!("{digits}e+{power:0>2}"),
    }
}

/// The shorter one of both forms; without a precision, as many digits as tell the number.
fn general(size: f64, precision: Option<usize>) -> String {
    // Go switches to exponents where six digits do not reach, however many there are.
    let (text, most) = match precision {
        None => (format!("{size:e}"), 6),
        Some(precision) => {
            let precision = precision.max(1);
            (format!("{size:.*e}", precision - 1), precision)
        }
    };
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    let power: i32 = power.parse().unwrap_or(0);
    // As many digits as a double has, at least: `most` is bounded by the format.
    if power < -4 || usize::try_from(power).is_ok_and(|power| power >= most) {
        return exponent(&format!("{digits}e{power}"));
    }
    let shown = digits.len() - usize::from(digits.contains('.'));
    let places = i32::try_from(shown)
        .unwrap_or(i32::MAX)
        .saturating_sub(1 + power);
    format!("{size:.*}", usize::try_from(places).unwrap_or(0))
}
