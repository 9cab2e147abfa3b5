//! A page as bytes.
//!
//! ```text
//! magic    8 bytes     "hearthKV"
//! version  u32         little-endian, as all numbers here
//! tokens   u32         how many, 1 to a page's
//! contents u64         how many bytes
//! above    32 bytes    key of the page above
//! key      32 bytes    key of this page
//! ids      u32 each    the tokens
//! contents             `State`'s page
//! sum      32 bytes    over everything before it
//! ```
//!
//! Nothing is believed of a header: whoever reads a page knows its tokens and what is above it, makes the one header
//! that such a page has, and compares it byte by byte.

use std::io::{self, BufReader, Read, Write};

use hearth_compute::{Backend as _, Cpu};
use hearth_model::{Model, Page, State};

use super::{
    key::{Key, VERSION},
    sum::{BYTES, Summed},
};

const MAGIC: &[u8; 8] = b"hearthKV";
/// Bytes of a header before the ids.
const FIXED: usize = 8 + 4 + 4 + 8 + 32 + 32;
/// Small reads are gathered; those of a real model's layers are larger and go where they belong at once.
const BUFFER: usize = 16 << 10;

/// Bytes of a page of `tokens` tokens.
pub(super) fn bytes(model: &Model<Cpu>, tokens: usize) -> u64 {
    (FIXED + tokens * 4 + BYTES) as u64 + contents(model)
}

/// Bytes of what is between the ids and the sum: a page is as large however many tokens it has.
fn contents(model: &Model<Cpu>) -> u64 {
    model.state_bytes(model.backend().page_len()) as u64
}

fn header(model: &Model<Cpu>, above: Key, tokens: &[u32]) -> Vec<u8> {
    let mut header = Vec::with_capacity(FIXED + tokens.len() * 4);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(tokens.len() as u32).to_le_bytes());
    header.extend_from_slice(&contents(model).to_le_bytes());
    header.extend_from_slice(&above.0);
    header.extend_from_slice(&above.then(tokens).0);
    header.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    header
}

/// Writes a page.
pub(super) fn write(
    model: &Model<Cpu>,
    above: Key,
    tokens: &[u32],
    page: &Page<Cpu>,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut to = Summed::new(to);
    to.write_all(&header(model, above, tokens))?;
    page.write(model.backend(), &mut to)?;
    let Summed { inner, sum } = to;
    inner.write_all(&sum.finish())
}

/// Reads the page of `tokens` after `above`, for states like `empty`.
///
/// # Errors
/// When it is anything else (`InvalidData`), too short (`UnexpectedEof`), or those of the reader.
pub(super) fn read(
    model: &Model<Cpu>,
    empty: &State<Cpu>,
    above: Key,
    tokens: &[u32],
    mut from: impl Read,
) -> io::Result<Page<Cpu>> {
    let expected = header(model, above, tokens);
    let mut found = vec![0; expected.len()];
    from.read_exact(&mut found)?;
    if found != expected {
        return Err(damaged("it is no page of these tokens"));
    }
    body(model, empty, &expected, &mut from)
}

/// Reads whatever page comes after `above`, and its tokens; none at the end.
///
/// # Errors
/// As [`read`].
pub(super) fn next(
    model: &Model<Cpu>,
    empty: &State<Cpu>,
    above: Key,
    from: &mut impl Read,
) -> io::Result<Option<(Vec<u32>, Page<Cpu>)>> {
    let mut found = Vec::with_capacity(FIXED);
    from.take(FIXED as u64).read_to_end(&mut found)?;
    if found.is_empty() {
        return Ok(None);
    }
    let count = found.get(12..).and_then(|rest| rest.first_chunk());
    let count = count.map_or(0, |count| u32::from_le_bytes(*count) as usize);
    if !(1..=model.backend().page_len()).contains(&count) || !found.starts_with(MAGIC) {
        return Err(damaged("it is no file of pages"));
    }
    from.take(count as u64 * 4).read_to_end(&mut found)?;
    let ids = found.get(FIXED..).unwrap_or_default().as_chunks().0;
    let tokens: Vec<u32> = ids.iter().map(|id| u32::from_le_bytes(*id)).collect();
    let expected = header(model, above, &tokens);
    if found != expected {
        return Err(damaged(
            "its pages belong to another model, other settings or another text",
        ));
    }
    Ok(Some((tokens, body(model, empty, &expected, from)?)))
}

fn body(
    model: &Model<Cpu>,
    empty: &State<Cpu>,
    header: &[u8],
    from: &mut impl Read,
) -> io::Result<Page<Cpu>> {
    // Taken by as much as belongs to this page, so that the buffer does not swallow the next.
    let from = from.take(contents(model) + BYTES as u64);
    let mut from = Summed::new(BufReader::with_capacity(BUFFER, from));
    from.sum.update(header);
    let page = empty.read_page(model.backend(), &mut from)?;
    let Summed { mut inner, sum } = from;
    let mut found = [0; BYTES];
    inner.read_exact(&mut found)?;
    if found != sum.finish() {
        return Err(damaged("its checksum does not fit"));
    }
    Ok(page)
}

pub(super) fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
