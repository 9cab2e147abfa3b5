//! Classes of characters, in the two-level table that the scanners read.

use std::sync::LazyLock;

use regex_syntax::hir::{Class as HirClass, HirKind};

/// A set of the classes below.
pub(crate) type Class = u16;

/// Categories Lu and Lt.
pub(crate) const UPPER: Class = 1;
/// Category Ll.
pub(crate) const LOWER: Class = 1 << 1;
/// Categories Lm and Lo: letters without case.
pub(crate) const CASELESS: Class = 1 << 2;
/// Category M.
pub(crate) const MARK: Class = 1 << 3;
/// Category N.
pub(crate) const NUMBER: Class = 1 << 4;
/// Category P.
pub(crate) const PUNCTUATION: Class = 1 << 5;
/// Category S.
pub(crate) const SYMBOL: Class = 1 << 6;
/// Property White_Space.
pub(crate) const SPACE: Class = 1 << 7;
/// Carriage return and line feed.
pub(crate) const NEWLINE: Class = 1 << 8;
/// Category C: control, format, private, surrogate, unassigned.
pub(crate) const CONTROL: Class = 1 << 9;
/// Category Mn, a part of [`MARK`].
pub(crate) const NONSPACING: Class = 1 << 10;
/// Script Han.
pub(crate) const HAN: Class = 1 << 11;
/// Category Nd, a part of [`NUMBER`].
pub(crate) const DIGIT: Class = 1 << 12;
/// What `\w` matches.
pub(crate) const WORD: Class = 1 << 13;
/// Category L.
pub(crate) const LETTER: Class = UPPER | LOWER | CASELESS;

const SOURCES: [(&str, Class); 14] = [
    (r"[\p{Lu}\p{Lt}]", UPPER),
    (r"\p{Ll}", LOWER),
    (r"[\p{Lm}\p{Lo}]", CASELESS),
    (r"\p{M}", MARK),
    (r"\p{N}", NUMBER),
    (r"\p{P}", PUNCTUATION),
    (r"\p{S}", SYMBOL),
    (r"\s", SPACE),
    (r"[\r\n]", NEWLINE),
    (r"\p{C}", CONTROL),
    (r"\p{Mn}", NONSPACING),
    (r"\p{Han}", HAN),
    (r"\p{Nd}", DIGIT),
    (r"\w", WORD),
];

/// The classes of every character.
pub(crate) struct Classes {
    ascii: [Class; 128],
    /// Row of each page of 256 code points; equal pages share a row.
    pages: Vec<u16>,
    rows: Vec<[Class; 256]>,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::build);

impl Classes {
    /// The table, built on first use (a few milliseconds).
    pub(crate) fn get() -> &'static Self {
        &CLASSES
    }

    /// The classes of a character.
    #[inline]
    pub(crate) fn of(&self, c: char) -> Class {
        let code = c as usize;
        if code < 128 {
            return self.ascii[code];
        }
        self.rows[usize::from(self.pages[code >> 8])][code & 0xFF]
    }

    /// The classes and the length in bytes of the character at `at`, which must be a boundary inside `text`.
    #[inline]
    pub(crate) fn at(&self, text: &str, at: usize) -> (Class, usize) {
        let byte = text.as_bytes()[at];
        if byte < 128 {
            return (self.ascii[usize::from(byte)], 1);
        }
        text[at..]
            .chars()
            .next()
            .map_or((0, 1), |c| (self.of(c), c.len_utf8()))
    }

    fn build() -> Self {
        let mut flat = vec![0; 0x11_0000];
        for (pattern, class) in SOURCES {
            for (from, to) in ranges(pattern) {
                for entry in &mut flat[from as usize..=to as usize] {
                    *entry |= class;
                }
            }
        }
        let mut table = Self {
            ascii: [0; 128],
            pages: Vec::with_capacity(flat.len() / 256),
            rows: Vec::new(),
        };
        table.ascii.copy_from_slice(&flat[..128]);
        let mut known = std::collections::HashMap::new();
        for page in flat.chunks_exact(256) {
            let row = *known.entry(page).or_insert_with(|| {
                let mut row = [0; 256];
                row.copy_from_slice(page);
                table.rows.push(row);
                table.rows.len() - 1
            });
            table.pages.push(row as u16); // at most 4,352 pages
        }
        table
    }
}

fn ranges(pattern: &str) -> Vec<(u32, u32)> {
    let Ok(hir) = regex_syntax::parse(pattern) else {
        return Vec::new();
    };
    match hir.kind() {
        HirKind::Class(HirClass::Unicode(class)) => class
            .iter()
            .map(|r| (r.start() as u32, r.end() as u32))
            .collect(),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .ok()
            .and_then(|s| s.chars().next())
            .map(|c| vec![(c as u32, c as u32)])
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Whether BERT puts spaces around this ideograph. The third range from the end begins where BERT's own code and
/// every port of it begin it.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}' | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_categories() {
        let table = Classes::get();
        for (c, class) in [
            ('A', UPPER | WORD),
            ('ǅ', UPPER | WORD),
            ('é', LOWER | WORD),
            ('世', CASELESS | HAN | WORD),
            ('\u{301}', MARK | NONSPACING | WORD),
            ('7', NUMBER | DIGIT | WORD),
            ('½', NUMBER),
            ('!', PUNCTUATION),
            ('+', SYMBOL),
            (' ', SPACE),
            ('\n', SPACE | NEWLINE | CONTROL),
            ('\u{85}', SPACE | CONTROL),
            ('\u{3000}', SPACE),
            ('\0', CONTROL),
            ('🙂', SYMBOL),
        ] {
            assert_eq!(table.of(c), class, "{c:?}");
        }
    }
}
