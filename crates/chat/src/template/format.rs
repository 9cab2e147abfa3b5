//! Python's two ways to format: `'%s' % x` and `'{}'.format(x)`.
//!
//! The engine's own formatter counts bytes for columns and panics on some formats.

use std::iter::Peekable;
use std::str::Chars;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::budget::{Stop, charge, charge_new, check_size};
use super::text::{number, str_of, write_repr};
use super::values::weight;

/// The widest column and the highest precision that a format may ask for.
const MAX_WIDTH: usize = 9_999;

/// How one value is written.
#[derive(Debug, Clone, PartialEq)]
struct Spec {
    fill: char,
    /// `<`, `>`, `^` or `=` (between sign and digits); `None` is the default of the type.
    align: Option<char>,
    /// `+`, ` `, or `-` for none before positive numbers.
    sign: char,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    /// The conversion; `None` is `str()`.
    kind: Option<char>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            fill: ' ',
            align: None,
            sign: '-',
            alternate: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: None,
        }
    }
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

/// Reads digits; `None` if there are none.
fn digits(chars: &mut Peekable<Chars>) -> Result<Option<usize>, Error> {
    let mut value = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let next = value.unwrap_or(0) * 10 + digit as usize;
        if next > MAX_WIDTH {
            return Err(Stop::limit(format!(
                "a format asks for more than {MAX_WIDTH} columns"
            )));
        }
        value = Some(next);
    }
    Ok(value)
}

/// Takes the next character if `wanted` accepts it.
fn take(chars: &mut Peekable<Chars>, wanted: impl Fn(char) -> bool) -> Option<char> {
    chars.next_if(|&c| wanted(c))
}

/// Collects the output and pays for it as it grows.
struct Sink<'a> {
    out: String,
    state: &'a State<'a, 'a>,
}

impl Sink<'_> {
    fn put(&mut self, text: &str) -> Result<(), Error> {
        charge(self.state, text.len() as u64)?;
        check_size((self.out.len() + text.len()) as u64)?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value, spec: &Spec) -> Result<(), Error> {
        charge(self.state, weight(value).saturating_add(spec.width as u64))?;
        let text = spec.write(value)?;
        self.put(&text)
    }

    fn finish(self) -> Result<Value, Error> {
        charge_new(self.state, self.out.len() as u64)?;
        Ok(Value::from(self.out))
    }
}

/// `form % args`; `args` has one element where the right side is not a list.
pub(crate) fn printf(state: &State, form: &str, args: &[Value]) -> Result<Value, Error> {
    charge(state, form.len() as u64)?;
    let mut sink = Sink {
        out: String::new(),
        state,
    };
    let mut chars = form.chars().peekable();
    let mut next = args.iter();
    let mut named = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            sink.out.push(c);
            continue;
        }
        let mut key = None;
        if take(&mut chars, |c| c == '(').is_some() {
            key = Some(chars.by_ref().take_while(|&c| c != ')').collect::<String>());
        }
        let mut spec = Spec::default();
        while let Some(flag) = take(&mut chars, |c| "-+ #0".contains(c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '#' => spec.alternate = true,
                '0' if spec.align.is_none() => (spec.fill, spec.align) = ('0', Some('=')),
                '+' | ' ' => spec.sign = flag,
                _ => {}
            }
        }
        spec.width = digits(&mut chars)?.unwrap_or(0);
        if take(&mut chars, |c| c == '.').is_some() {
            spec.precision = Some(digits(&mut chars)?.unwrap_or(0));
        }
        take(&mut chars, |c| "hlL".contains(c));
        let kind = chars.next().ok_or_else(|| invalid("incomplete format"))?;
        if kind == '%' {
            sink.out.push('%');
            continue;
        }
        let value = match key {
            Some(key) => {
                named = true;
                args.first()
                    .map_or(Ok(Value::UNDEFINED), |map| map.get_item(&Value::from(key)))?
            }
            None => next
                .next()
                .cloned()
                .ok_or_else(|| invalid("not enough arguments for format"))?,
        };
        let (kind, value) = match kind {
            'r' | 'a' => ('s', repr(&value)),
            's' => ('s', Value::from(str_of(&value).into_owned())),
            'i' | 'u' => ('d', value),
            'd' | 'f' | 'F' | 'x' | 'X' | 'o' | 'e' | 'E' | 'g' | 'G' | 'c' => (kind, value),
            other => return Err(invalid(format!("unsupported format character {other:?}"))),
        };
        let value = match (kind, f64::try_from(value.clone())) {
            ('d', Ok(float)) if !value.is_integer() => Value::from(float as i64),
            _ => value,
        };
        spec.kind = Some(kind);
        spec.align = spec.align.or(Some('>'));
        sink.value(&value, &spec)?;
    }
    let left = next.next().is_some_and(|arg| arg.kind() != ValueKind::Map);
    if left && !named {
        return Err(invalid(
            "not all arguments converted during string formatting",
        ));
    }
    sink.finish()
}

/// `form.format(*args, **named)`.
pub(crate) fn str_format(
    state: &State,
    form: &str,
    args: &[Value],
    named: &Kwargs,
) -> Result<Value, Error> {
    charge(state, form.len() as u64)?;
    let mut sink = Sink {
        out: String::new(),
        state,
    };
    let mut automatic = 0;
    let mut rest = form;
    while let Some(at) = rest.find(['{', '}']) {
        sink.put(&rest[..at])?;
        let mark = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(mark) {
            sink.out.push_str(mark);
            rest = after;
            continue;
        }
        if mark == "}" {
            return Err(invalid("single '}' encountered in format string"));
        }
        let (field, after) = rest
            .split_once('}')
            .ok_or_else(|| invalid("expected '}' before the end of the format"))?;
        rest = after;
        if field.contains('{') {
            return Err(invalid(
                "a field inside a format specification is not supported",
            ));
        }
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        let value = lookup(name, args, named, &mut automatic)?;
        let value = match conversion {
            "" => value,
            "r" | "a" => repr(&value),
            "s" => Value::from(str_of(&value).into_owned()),
            other => return Err(invalid(format!("unknown conversion {other:?}"))),
        };
        sink.value(&value, &Spec::parse(spec)?)?;
    }
    sink.put(rest)?;
    sink.finish()
}

fn repr(value: &Value) -> Value {
    let mut out = String::new();
    write_repr(&mut out, value);
    Value::from(out)
}

/// The value of a field such as ``, `0`, `name`, `0.attribute` or `name[key]`.
fn lookup(
    name: &str,
    args: &[Value],
    named: &Kwargs,
    automatic: &mut usize,
) -> Result<Value, Error> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (base, mut path) = name.split_at(end);
    let mut value = match base.parse::<usize>() {
        _ if base.is_empty() => {
            *automatic += 1;
            args.get(*automatic - 1).cloned()
        }
        Ok(index) => args.get(index).cloned(),
        Err(_) => named.get::<Option<Value>>(base)?,
    }
    .ok_or_else(|| invalid(format!("the format has no argument for the field {base:?}")))?;
    while !path.is_empty() {
        let (key, after) = match path.strip_prefix('[') {
            Some(inside) => inside
                .split_once(']')
                .ok_or_else(|| invalid("missing ']' in format string"))?,
            None => {
                let path = &path[1..];
                path.split_at(path.find(['.', '[']).unwrap_or(path.len()))
            }
        };
        let key = key
            .parse::<u64>()
            .map_or_else(|_| Value::from(key), Value::from);
        value = value.get_item(&key)?;
        path = after;
        if !path.is_empty() && !path.starts_with(['.', '[']) {
            return Err(invalid("only '.' or '[' may follow ']' in a format field"));
        }
    }
    Ok(value)
}

impl Spec {
    /// `[[fill]align][sign][#][0][width][,][.precision][type]`.
    fn parse(text: &str) -> Result<Self, Error> {
        let mut spec = Self::default();
        let is_align = |c: char| "<>^=".contains(c);
        let mut chars = text.chars().peekable();
        let mut ahead = text.chars();
        if let (Some(fill), Some(align)) = (ahead.next(), ahead.next().filter(|&c| is_align(c))) {
            (spec.fill, spec.align) = (fill, Some(align));
            chars.nth(1);
        } else {
            spec.align = take(&mut chars, is_align);
        }
        spec.sign = take(&mut chars, |c| "+- ".contains(c)).unwrap_or('-');
        spec.alternate = take(&mut chars, |c| c == '#').is_some();
        if take(&mut chars, |c| c == '0').is_some() && spec.align.is_none() {
            (spec.fill, spec.align) = ('0', Some('='));
        }
        spec.width = digits(&mut chars)?.unwrap_or(0);
        spec.grouping = take(&mut chars, |c| ",_".contains(c));
        if take(&mut chars, |c| c == '.').is_some() {
            let precision =
                digits(&mut chars)?.ok_or_else(|| invalid("format specifier missing precision"))?;
            spec.precision = Some(precision);
        }
        spec.kind = take(&mut chars, |c| "bcdeEfFgGnosxX%".contains(c));
        match chars.next() {
            None => Ok(spec),
            Some(c) => Err(invalid(format!(
                "invalid format specifier {text:?} at {c:?}"
            ))),
        }
    }

    fn write(&self, value: &Value) -> Result<String, Error> {
        let is_number = matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
        match self.kind {
            None | Some('s') if value.kind() != ValueKind::Number || self.kind == Some('s') => {
                let text = str_of(value);
                let text: String = match self.precision {
                    Some(precision) => text.chars().take(precision).collect(),
                    None => text.into_owned(),
                };
                Ok(self.pad("", &text, '<'))
            }
            Some('c') if value.as_str().is_some_and(|text| text.chars().count() == 1) => {
                Ok(self.pad("", &str_of(value), '<'))
            }
            _ if is_number => self.write_number(value),
            kind => Err(invalid(format!(
                "format {:?} takes a number, not a value of type {}",
                kind.unwrap_or('s'),
                value.kind()
            ))),
        }
    }

    fn write_number(&self, value: &Value) -> Result<String, Error> {
        let int = match value.kind() {
            ValueKind::Bool => Some(i128::from(value.is_true())),
            _ if value.is_integer() => i128::try_from(value.clone()).ok(),
            _ => None,
        };
        let whole = || int.ok_or_else(|| invalid("this format takes an integer"));
        let float = || int.map_or_else(|| f64::try_from(value.clone()), |int| Ok(int as f64));
        let negative = int.map_or_else(
            || float().is_ok_and(|x| x.is_sign_negative() && !x.is_nan()),
            |i| i < 0,
        );
        let precision = self.precision.unwrap_or(6);
        let magnitude = || float().map(f64::abs);
        let radix = |prefix: &'static str| if self.alternate { prefix } else { "" };
        let (prefix, body) = match self.kind {
            None if int.is_none() && self.precision.is_none() => {
                ("", number(value).trim_start_matches('-').to_owned())
            }
            None | Some('d' | 'n') if int.is_some() => ("", whole()?.unsigned_abs().to_string()),
            Some('d') => return Err(invalid("format 'd' takes an integer")),
            Some('b') => (radix("0b"), format!("{:b}", whole()?.unsigned_abs())),
            Some('o') => (radix("0o"), format!("{:o}", whole()?.unsigned_abs())),
            Some('x') => (radix("0x"), format!("{:x}", whole()?.unsigned_abs())),
            Some('X') => (radix("0X"), format!("{:X}", whole()?.unsigned_abs())),
            Some('c') => {
                let c = u32::try_from(whole()?).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| invalid("format 'c' takes the number of a character"))?;
                return Ok(self.pad("", c.encode_utf8(&mut [0; 4]), '<'));
            }
            Some('f' | 'F') => ("", fixed(magnitude()?, precision)),
            Some('%') => ("", fixed(magnitude()? * 100.0, precision) + "%"),
            Some(kind @ ('e' | 'E')) => ("", cased(kind, scientific(magnitude()?, precision))),
            kind => (
                "",
                cased(
                    kind.unwrap_or('g'),
                    general(magnitude()?, precision, self.alternate),
                ),
            ),
        };
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        };
        let body = self
            .grouping
            .map_or(body.clone(), |mark| grouped(&body, mark));
        Ok(self.pad(&format!("{sign}{prefix}"), &body, '>'))
    }

    /// `prefix` and `body` in the column; `side` is the alignment where none is asked for.
    fn pad(&self, prefix: &str, body: &str, side: char) -> String {
        let width = prefix.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(width);
        let fill = |count: usize| self.fill.to_string().repeat(count);
        match self.align.unwrap_or(side) {
            // Zeros go between a sign and the digits of a number; text is filled with blanks by
            // `%`, and with zeros on the right by `format`, as Python has it.
            '=' if side == '>' => format!("{prefix}{}{body}", fill(missing)),
            '=' => format!("{}{body}", " ".repeat(missing)),
            '<' => format!("{prefix}{body}{}", fill(missing)),
            '^' => format!(
                "{}{prefix}{body}{}",
                fill(missing / 2),
                fill(missing - missing / 2)
            ),
            _ => format!("{}{prefix}{body}", fill(missing)),
        }
    }
}

fn cased(kind: char, text: String) -> String {
    if kind.is_ascii_uppercase() {
        text.to_ascii_uppercase()
    } else {
        text
    }
}

fn fixed(x: f64, precision: usize) -> String {
    if x.is_finite() {
        format!("{x:.precision$}")
    } else {
        special(x)
    }
}

fn special(x: f64) -> String {
    if x.is_nan() { "nan" } else { "inf" }.to_owned()
}

fn scientific(x: f64, precision: usize) -> String {
    if !x.is_finite() {
        return special(x);
    }
    let text = format!("{x:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!(
        "{digits}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

fn general(x: f64, precision: usize, keep_zeros: bool) -> String {
    let precision = precision.max(1);
    let text = scientific(x, precision - 1);
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let strip = |text: &str| match text.contains('.') && !keep_zeros {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i64 {
        return strip(digits) + &text[digits.len()..];
    }
    strip(&fixed(
        x,
        usize::try_from(precision as i64 - 1 - exponent).unwrap_or(0),
    ))
}

fn grouped(body: &str, mark: char) -> String {
    let end = body
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(body.len());
    let mut out = String::new();
    for (index, digit) in body[..end].chars().enumerate() {
        if index > 0 && (end - index).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out + &body[end..]
}
