//! The instruction sets that have kernels, and the choice between them.

use std::{env, fmt, str::FromStr};

/// The environment variable that forces a lower instruction set than the processor's.
pub const VARIABLE: &str = "HEARTH_ISA";

/// An instruction set; a later one includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust: the readable truth, and every processor without kernels of its own.
    Scalar,
    /// AVX2, FMA and F16C (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

/// Why no instruction set could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is none of those known.
    #[error("{VARIABLE} is `{found}`, expected one of scalar, avx2, avx512")]
    Unknown {
        /// What was given.
        found: String,
    },
    /// The name is known, the processor lacks it.
    #[error(
        "{VARIABLE} asks for {wanted}, this processor has {available} at most; unset it or name a lower one"
    )]
    Unavailable {
        /// What was asked for.
        wanted: Isa,
        /// The best that the processor has.
        available: Isa,
    },
}

impl Isa {
    /// All of them, lowest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The instruction set to use: the processor's best, or the one that `HEARTH_ISA` names.
    ///
    /// # Errors
    /// When `HEARTH_ISA` is not a known name, or names one that the processor lacks.
    pub fn detect() -> Result<Isa, IsaError> {
        Self::choose(env::var(VARIABLE).ok().as_deref(), Self::best())
    }

    /// The best instruction set of this processor.
    pub fn best() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            macro_rules! has {
                ($($feature:tt),*) => { $(is_x86_feature_detected!($feature))&&* };
            }
            if !has!("avx2", "fma", "f16c") {
                return Isa::Scalar;
            }
            if has!("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni") {
                return Isa::Avx512;
            }
            Isa::Avx2
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Scalar
    }

    /// Those that this processor can run, lowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        let best = Self::best();
        Self::ALL.into_iter().filter(move |&isa| isa <= best)
    }

    /// The name that `HEARTH_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    fn choose(wanted: Option<&str>, available: Isa) -> Result<Isa, IsaError> {
        let Some(wanted) = wanted.filter(|name| !name.is_empty()) else {
            return Ok(available);
        };
        let wanted = wanted.parse::<Isa>()?;
        if wanted > available {
            return Err(IsaError::Unavailable { wanted, available });
        }
        Ok(wanted)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown {
                found: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_only_lowers() {
        let cases = [
            (None, Isa::Avx2, Ok(Isa::Avx2)),
            (Some(""), Isa::Avx2, Ok(Isa::Avx2)),
            (Some("scalar"), Isa::Avx512, Ok(Isa::Scalar)),
            (Some("avx512"), Isa::Avx512, Ok(Isa::Avx512)),
            (
                Some("avx512"),
                Isa::Avx2,
                Err(IsaError::Unavailable {
                    wanted: Isa::Avx512,
                    available: Isa::Avx2,
                }),
            ),
            (
                Some("sse9"),
                Isa::Avx2,
                Err(IsaError::Unknown {
                    found: "sse9".into(),
                }),
            ),
        ];
        for (name, available, want) in cases {
            assert_eq!(
                Isa::choose(name, available),
                want,
                "{name:?} on {available}"
            );
        }
    }
}
