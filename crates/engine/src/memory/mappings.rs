//! Which memory of the files that this process has mapped is in memory, and which will be.

use std::ops::Range;

/// Bytes that one page fault maps where the file is in memory already: the kernel's `fault_around_bytes`.
const WINDOW: usize = 64 << 10;
const PAGE: usize = 4 << 10;

/// A range of addresses and how many bytes of it are in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    range: Range<usize>,
    /// Holds code of the program or a library.
    code: bool,
    resident: usize,
}

/// The address space of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings(Vec<Mapping>);

impl Mappings {
    /// As it is now; empty where the system does not tell.
    pub(crate) fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut mappings: Vec<Mapping> = Vec::new();
        for line in text.lines() {
            if let Some((range, code)) = header(line) {
                mappings.push(Mapping {
                    range,
                    code,
                    resident: 0,
                });
            } else if let (Some(last), Some(rest)) =
                (mappings.last_mut(), line.strip_prefix("Rss:"))
            {
                let kibibytes = rest.split_whitespace().next().and_then(|n| n.parse().ok());
                last.resident = kibibytes.unwrap_or(0usize).saturating_mul(1024);
            }
        }
        Self(mappings)
    }

    /// Bytes in memory once all of `arrays` were read, and how many of them are there now.
    ///
    /// What lies before the first of them in its mapping, a file's header, counts as read: it was.
    pub(crate) fn reading(&self, arrays: &[&[u8]]) -> Reading {
        let ranges = merged(arrays.iter().map(|array| {
            let range = array.as_ptr_range();
            self.clip(range.start.addr()..range.end.addr())
        }));
        let total = ranges.iter().map(Range::len).sum();
        let mut resident = 0;
        for mapping in &self.0 {
            let inside = ranges.iter().filter(|r| overlaps(r, &mapping.range));
            let (first, bytes) = inside.fold((None, 0), |(first, bytes), r| {
                (first.or(Some(r.start)), bytes + r.len())
            });
            let Some(first) = first else { continue };
            let header = first.saturating_sub(mapping.range.start);
            resident += mapping.resident.saturating_sub(header).min(bytes);
        }
        Reading { total, resident }
    }

    /// The code of the program and its libraries.
    pub(crate) fn code(&self) -> Reading {
        let code = || self.0.iter().filter(|mapping| mapping.code);
        Reading {
            total: code().map(|mapping| mapping.range.len()).sum(),
            resident: code().map(|mapping| mapping.resident).sum(),
        }
    }

    /// Bytes in memory after `reads` places in `arrays` were read that lie far apart.
    pub(crate) fn reading_places(&self, arrays: &[&[u8]], reads: usize) -> usize {
        let all = self.reading(arrays).total;
        all.min(arrays.len().saturating_mul(reads).saturating_mul(WINDOW))
    }

    /// The windows that `range` lies in, as far as its mapping goes.
    fn clip(&self, range: Range<usize>) -> Range<usize> {
        match self.0.iter().find(|m| m.range.contains(&range.start)) {
            Some(Mapping { range: all, .. }) => {
                let start = range.start - range.start % WINDOW;
                start.max(all.start)..range.end.next_multiple_of(WINDOW).min(all.end)
            }
            None => range.start - range.start % PAGE..range.end.next_multiple_of(PAGE),
        }
    }
}

/// What reading takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes in memory afterwards.
    pub(crate) total: usize,
    /// Those that are there already.
    pub(crate) resident: usize,
}

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The same addresses, in order, none twice.
fn merged(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = ranges.filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The addresses of a line such as `7f00-7f10 r-xp 0000 00:01 7 /file`, and whether it is code of a file.
fn header(line: &str) -> Option<(Range<usize>, bool)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    let executable = words.next()?.contains('x');
    let file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some((number(start)?..number(end)?, executable && file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_is_read() {
        let text = "55d0c0000000-55d0c0200000 r-xp 00000000 08:01 7   /hearth\nSize: 2048 kB\nRss: 96 kB\n\
                    VmFlags: rd mr\n7f00-8f00 rw-p 0 0 0\nRss: nonsense\n9000-9f00 r-xp 0 0 0 [vdso]\n";
        let found = Mappings::parse(text);
        let expected = [
            (0x55d0_c000_0000..0x55d0_c020_0000, true, 96 << 10),
            (0x7f00..0x8f00, false, 0),
            (0x9000..0x9f00, false, 0),
        ]
        .map(|(range, code, resident)| Mapping {
            range,
            code,
            resident,
        });
        assert_eq!(found.0, expected);
        let code = Reading {
            total: 2 << 20,
            resident: 96 << 10,
        };
        assert_eq!(found.code(), code);
        assert!(Mappings::parse("").0.is_empty());
    }

    #[test]
    fn what_is_read_is_counted_in_windows_once() {
        let memory = vec![0u8; 1 << 20];
        let base = memory.as_ptr().addr();
        let mappings = |resident| {
            Mappings(vec![Mapping {
                range: base..base + memory.len(),
                code: false,
                resident,
            }])
        };
        // Two arrays that touch, after a header of 100,000 bytes.
        let arrays = [&memory[100_000..400_000], &memory[390_000..900_000]];
        let reading = mappings(0).reading(&arrays);
        assert!(reading.total >= 800_000 && reading.total <= 800_000 + 2 * WINDOW);
        assert_eq!(reading.resident, 0);
        // The whole of the mapping is there: so is all that will be read.
        let all = mappings(memory.len()).reading(&arrays);
        assert_eq!(all.resident, all.total);
        // Only the header is.
        assert_eq!(mappings(30_000).reading(&arrays).resident, 0);
        // Single places take a window each, never more than all.
        assert_eq!(mappings(0).reading_places(&arrays, 3), 6 * WINDOW);
        assert_eq!(
            mappings(0).reading_places(&arrays, usize::MAX),
            reading.total
        );
        // Memory of no mapping is counted in pages.
        let loose = Mappings::default().reading(&arrays);
        assert!(loose.total >= 800_000 && loose.total <= 800_000 + 2 * PAGE);
        assert_eq!(mappings(0).reading(&[]), Reading::default());
    }
}
