//! Yes, tight or no.

use super::Memory;

/// Whether a model fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All of it, and a tenth of the free memory is left for everyone else.
    Yes,
    /// What every token reads fits, together with what cannot be dropped; but either less than a tenth is left, or
    /// experts that are seldom chosen must be read from the disk again when they are.
    Tight,
    /// Every token would wait for the disk, or the system would end a process.
    No,
}

impl Verdict {
    /// The verdict on `memory` where `available` bytes are free.
    pub fn of(memory: &Memory, available: usize) -> Self {
        if memory.needed() <= available - available.div_ceil(10) {
            Self::Yes
        } else if memory.resident() <= available {
            Self::Tight
        } else {
            Self::No
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Tight => "tight",
            Self::No => "no",
        }
    }
}

/// What to do with a model that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Do not load it.
    #[default]
    Refuse,
    /// Load it all the same.
    Force,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_the_two_sums() {
        let memory = Memory {
            cache: 100,
            weights: 800,
            weights_per_token: 300,
            program: 1 << 30,
            ..Memory::default()
        };
        assert_eq!((memory.needed(), memory.resident()), (900, 400));
        let cases = [
            (usize::MAX, Verdict::Yes),
            (1000, Verdict::Yes),
            (999, Verdict::Tight),
            (400, Verdict::Tight),
            (399, Verdict::No),
            (0, Verdict::No),
        ];
        for (available, verdict) in cases {
            assert_eq!(Verdict::of(&memory, available), verdict, "{available}");
        }
        let huge = Memory {
            cache: usize::MAX,
            weights: usize::MAX,
            ..memory
        };
        assert_eq!(Verdict::of(&huge, usize::MAX - 1), Verdict::No);
    }
}
