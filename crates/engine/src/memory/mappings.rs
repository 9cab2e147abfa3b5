//! Which memory of the files that this process has mapped is in memory, and which will be.

use std::ops::Range;

use super::resident_memory;

/// Bytes that one page fault maps at least where the file is in memory already: the kernel's `fault_around_bytes`.
const WINDOW: usize = 64 << 10;
/// Places that are read to see how much one page fault maps.
const PROBES: usize = 8;
const PAGE: usize = 4 << 10;

/// A range of addresses and how many bytes of it are in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    range: Range<usize>,
    resident: usize,
    /// Whether it is of a file that the program consists of.
    program: bool,
}

/// The address space of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings(Vec<Mapping>);

impl Mappings {
    /// As it is now; empty where the system does not tell.
    pub(crate) fn now() -> Self {
        let Ok(program) = std::fs::read_link("/proc/self/exe") else {
            return Self::default();
        };
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        Self::parse(&text, &program.to_string_lossy())
    }

    /// Reads `smaps` of a program whose file is `program`.
    fn parse(text: &str, program: &str) -> Self {
        let mut mappings: Vec<Mapping> = Vec::new();
        for line in text.lines() {
            if let Some(range) = header(line) {
                mappings.push(Mapping {
                    range,
                    resident: 0,
                    program: line.ends_with(program) || line.contains(".so"),
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

    /// Bytes in memory of the files that the program consists of: its own and shared libraries.
    pub(crate) fn program(&self) -> usize {
        let files = self.0.iter().filter(|mapping| mapping.program);
        files.map(|mapping| mapping.resident).sum()
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

/// Bytes that come into memory with one place of `arrays`, and how many did by finding that out. Newer kernels map as
/// much as they keep together in the page cache, 64 KiB to some megabytes, so it is tried.
pub(crate) fn read_places(arrays: &[&[u8]]) -> Reading {
    let before = resident_memory().unwrap_or(0);
    for array in arrays {
        for probe in 0..PROBES {
            std::hint::black_box(
                array
                    .get((2 * probe + 1) * array.len() / (2 * PROBES))
                    .copied(),
            );
        }
    }
    let resident = resident_memory().unwrap_or(0).saturating_sub(before);
    Reading {
        total: (resident / PROBES).max(arrays.len() * WINDOW),
        resident,
    }
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

/// The addresses that a line such as `7f00-7f10 r--p 0000 00:01 7 /file` begins with.
fn header(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_is_read() {
        let text = "55d0c0000000-55d0c0200000 r--p 00000000 08:01 7   /model.gguf\nSize: 2048 kB\nRss: 96 kB\n\
                    VmFlags: rd mr\n7f00-8f00 rw-p 0 0 0\nRss: nonsense\n1000-3000 r-xp 0 0 0 /bin/hearth\n\
                    Rss: 8 kB\n4000-5000 r-xp 0 0 0 /lib/libc.so.6\nRss: 4 kB\n";
        let found = Mappings::parse(text, "/bin/hearth");
        let expected = [
            (0x55d0_c000_0000..0x55d0_c020_0000, 96 << 10, false),
            (0x7f00..0x8f00, 0, false),
            (0x1000..0x3000, 8 << 10, true),
            (0x4000..0x5000, 4 << 10, true),
        ]
        .map(|(range, resident, program)| Mapping {
            range,
            resident,
            program,
        });
        assert_eq!(found.0, expected);
        assert_eq!(found.program(), 12 << 10);
        assert!(Mappings::parse("", "").0.is_empty());
    }

    #[test]
    fn places_take_a_window_each_at_least() {
        let memory = vec![1u8; 1 << 20];
        assert!(read_places(&[&memory, &memory]).total >= 2 * WINDOW);
        assert_eq!(read_places(&[&[], &memory[..3]]).total, 2 * WINDOW);
    }

    #[test]
    fn what_is_read_is_counted_in_windows_once() {
        let memory = vec![0u8; 1 << 20];
        let base = memory.as_ptr().addr();
        let mappings = |resident| {
            Mappings(vec![Mapping {
                range: base..base + memory.len(),
                resident,
                program: false,
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
        // Memory of no mapping is counted in pages.
        let loose = Mappings::default().reading(&arrays);
        assert!(loose.total >= 800_000 && loose.total <= 800_000 + 2 * PAGE);
        assert_eq!(mappings(0).reading(&[]), Reading::default());
    }
}
