//! Names of the parts of a split model.

use std::fmt;

/// A file name `PREFIX-00002-of-00003.gguf`, the way llama.cpp names the parts of a split model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartName<'a> {
    /// What all parts begin with.
    pub prefix: &'a str,
    /// Which part, from 1. Nothing says that it is at most `count`.
    pub number: u32,
    /// Number of parts.
    pub count: u32,
}

impl<'a> PartName<'a> {
    /// Reads a file name; nothing where it is not that of a part. The extension's case does not count.
    pub fn parse(file: &'a str) -> Option<Self> {
        let (stem, extension) = file.rsplit_once('.')?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let is_part = extension.eq_ignore_ascii_case("gguf") && !prefix.is_empty();
        Some(Self {
            prefix,
            number: digits(number)?,
            count: digits(count)?,
        })
        .filter(|_| is_part)
    }
}

/// Five digits, at least 1.
fn digits(text: &str) -> Option<u32> {
    let five = text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|number| five && *number > 0)
}

impl fmt::Display for PartName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prefix,
            number,
            count,
        } = self;
        write!(f, "{prefix}-{number:05}-of-{count:05}.gguf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_and_others() {
        for (name, want) in [
            ("m-00002-of-00003.gguf", Some(("m", 2, 3))),
            ("a-b-00001-of-00001.gguf", Some(("a-b", 1, 1))),
            ("m-00001-of-00002.GGUF", Some(("m", 1, 2))),
            ("m-of-x-00009-of-00002.gguf", Some(("m-of-x", 9, 2))),
            ("-00001-of-00002.gguf", None),
            ("m-0001-of-00002.gguf", None),
            ("m-00000-of-00002.gguf", None),
            ("m-+0001-of-00002.gguf", None),
            ("m-00001-of-00002.safetensors", None),
            ("m-00001-of-00002", None),
            ("m-00001.gguf", None),
            ("one-of-two.gguf", None),
            ("", None),
        ] {
            let found = PartName::parse(name);
            assert_eq!(found.map(|p| (p.prefix, p.number, p.count)), want, "{name}");
            if let Some(part) = found {
                assert!(part.to_string().eq_ignore_ascii_case(name), "{name}");
            }
        }
    }
}
