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
//!          zeros       up to a multiple of 64 bytes
//! contents             `State`'s page, with or without recurrent states: their number of bytes tells
//! sum      32 bytes    over everything before it
//! ```
//!
//! Nothing is believed of a header: whoever reads a page knows its tokens and what is above it, makes the one header
//! that such a page has, and compares it byte by byte.
//!
//! The contents lie as they are computed with, so that a mapped page is used where it is. Copies would cost more than
//! everything else: memory that is touched for the first time is dear, above all in virtual machines.

use std::io::{self, BufReader, Read, Write};

use hearth_compute::{Backend as _, Cpu};
use hearth_format::Bytes;
use hearth_model::{Model, Page, State};

use super::{
    key::{Key, VERSION},
    sum::{BYTES, Sum, Summed},
};

const MAGIC: &[u8; 8] = b"hearthKV";
/// Bytes of a header before the ids.
const FIXED: usize = 8 + 4 + 4 + 8 + 32 + 32;
/// What contents begin at a multiple of: a line of the processor's cache.
const ALIGNED: usize = 64;
/// Small reads are gathered; those of a real model's layers are larger and go where they belong at once.
const BUFFER: usize = 16 << 10;

/// Bytes of a page of `tokens` tokens, with recurrent states where it `resumes`.
pub(super) fn bytes(model: &Model<Cpu>, tokens: usize, resumes: bool) -> u64 {
    (before(tokens) + BYTES) as u64 + contents(model, resumes)
}

/// Bytes before the contents.
fn before(tokens: usize) -> usize {
    (FIXED + tokens * 4).next_multiple_of(ALIGNED)
}

/// Bytes of what is between the ids and the sum: a page is as large however many tokens it has.
fn contents(model: &Model<Cpu>, resumes: bool) -> u64 {
    let states = if resumes { model.recurrent_bytes() } else { 0 };
    (model.state_bytes(model.backend().page_len()) + states) as u64
}

fn header(model: &Model<Cpu>, above: Key, tokens: &[u32], resumes: bool) -> Vec<u8> {
    let mut header = Vec::with_capacity(before(tokens.len()));
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(tokens.len() as u32).to_le_bytes());
    header.extend_from_slice(&contents(model, resumes).to_le_bytes());
    header.extend_from_slice(&above.0);
    header.extend_from_slice(&above.then(tokens).0);
    header.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    header.resize(before(tokens.len()), 0);
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
    to.write_all(&header(model, above, tokens, page.resumes()))?;
    page.write(model.backend(), &mut to)?;
    let Summed { inner, sum } = to;
    inner.write_all(&sum.finish())
}

/// The page of `tokens` after `above` in a file's bytes, for states like `empty`; it is used where it lies.
///
/// # Errors
/// When the bytes are anything else (`InvalidData`).
pub(super) fn lend(
    model: &Model<Cpu>,
    empty: &State<Cpu>,
    above: Key,
    tokens: &[u32],
    from: &Bytes,
) -> io::Result<Page<Cpu>> {
    // With recurrent states if there are any that fit.
    let long = |resumes: &bool| from.len() as u64 == bytes(model, tokens.len(), *resumes);
    let resumes = [true, false].into_iter().find(long);
    let resumes = resumes.ok_or_else(|| damaged("it has another length"))?;
    let (summed, sum) = from.split_at(from.len() - BYTES);
    if !summed.starts_with(&header(model, above, tokens, resumes)) {
        return Err(damaged("it is no page of these tokens"));
    }
    let mut expected = Sum::new();
    expected.update(summed);
    if sum != expected.finish() {
        return Err(damaged("its checksum does not fit"));
    }
    let start = before(tokens.len());
    let contents = from.slice(start, summed.len() - start);
    let page = contents.and_then(|contents| empty.lend_page(model.backend(), resumes, contents));
    page.ok_or_else(|| damaged("its contents are not as long as a page's"))
}

/// Reads whatever page comes after `above`, and its tokens; none at the end.
///
/// # Errors
/// When it is anything else (`InvalidData`), too short (`UnexpectedEof`), or those of the reader.
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
    from.take((before(count) - FIXED) as u64)
        .read_to_end(&mut found)?;
    let ids = found.get(FIXED..).unwrap_or_default().as_chunks().0;
    let ids = ids.iter().take(count).map(|id| u32::from_le_bytes(*id));
    let tokens: Vec<u32> = ids.collect();
    let same = |resumes: &bool| found == header(model, above, &tokens, *resumes);
    let resumes = [true, false].into_iter().find(same).ok_or_else(|| {
        damaged("its pages belong to another model, other settings or another text")
    })?;
    Ok(Some((tokens, body(model, empty, &found, resumes, from)?)))
}

fn body(
    model: &Model<Cpu>,
    empty: &State<Cpu>,
    header: &[u8],
    resumes: bool,
    from: &mut impl Read,
) -> io::Result<Page<Cpu>> {
    // Taken by as much as belongs to this page, so that the buffer does not swallow the next.
    let from = from.take(contents(model, resumes) + BYTES as u64);
    let mut from = Summed::new(BufReader::with_capacity(BUFFER, from));
    from.sum.update(header);
    let page = empty.read_page(model.backend(), resumes, &mut from)?;
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
