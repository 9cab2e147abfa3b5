//! New models: what the store makes of a recipe, with weights in another mixture where one is named.

use std::{cell::RefCell, io::Write, ops::ControlFlow};

use hearth_chat::GoTemplate;
use hearth_format::Checkpoint;
use hearth_quantize::{Mixture, Options, Progress, convert};
use hearth_store::{Base, Config, Create, Digest, Entry, Name, Recipe, Watch};

use super::{BARD, BUILT_IN, Library, Result};

/// How a model is made.
pub struct Making<'a> {
    /// Files come into the store as hard links.
    pub link: bool,
    /// What the weights become; none leaves them as they are.
    pub mixture: Option<Mixture>,
    /// Quantise what is quantised already, at the loss of both.
    pub allow_requantize: bool,
    /// Told what goes on.
    pub watch: Watch<'a>,
    /// Told how far the weights are, and may stop that.
    pub quantizing: &'a dyn Fn(Quantizing<'_>) -> ControlFlow<()>,
}

impl<'a> Making<'a> {
    /// Files become what they are, by copies.
    pub fn new(watch: Watch<'a>) -> Self {
        Self {
            link: false,
            mixture: None,
            allow_requantize: false,
            watch,
            quantizing: &|_| ControlFlow::Continue(()),
        }
    }
}

/// Weights on the way to another mixture.
#[derive(Clone, Copy, Debug)]
pub struct Quantizing<'a> {
    /// What they were, as `F16`.
    pub from: &'a str,
    /// What they become.
    pub to: Mixture,
    /// How far it is.
    pub progress: Progress<'a>,
}

/// A model that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// It in the store.
    pub entry: Entry,
    /// What the user should know: settings that the format cannot carry, tensors left out.
    pub notes: Vec<String>,
}

impl Library {
    /// Makes a model. A recipe may name the built-in one, which comes into the store then.
    ///
    /// # Errors
    /// When the recipe names what is not there, a file is not what it has to be, the template is wrong, the weights
    /// cannot be quantised, the disk is full, or the name is pinned.
    pub fn make(&self, name: &Name, mut recipe: Recipe, making: &Making<'_>) -> Result<Made> {
        for base in &mut recipe.from {
            if let Base::Name(from) = base
                && is_built_in(from)
                && self.store.find(from)?.is_none()
            {
                *base = Base::Blob(self.unpack()?);
            }
        }
        let notes = RefCell::default();
        let transform = |checkpoint: &Checkpoint, out: &mut dyn Write| {
            *notes.borrow_mut() = quantize(name, checkpoint, making, out)?;
            Ok(())
        };
        let create = Create {
            link: making.link,
            check_template: &check_template,
            transform: making.mixture.is_some().then_some(&transform),
            watch: making.watch,
        };
        let entry = self.store.create(name, &recipe, &create)?;
        Ok(Made {
            entry,
            notes: notes.take(),
        })
    }

    /// The weights of the built-in model as a content of the store.
    fn unpack(&self) -> Result<Digest> {
        let digest = Digest::of(BARD);
        let mut rest = Some(BARD);
        let size = BARD.len() as u64;
        self.store
            .receive(&digest, Some(size), || Ok(rest.take()))?;
        Ok(digest)
    }
}

/// Whether a name means the model inside this program, where no stored one has it.
pub fn is_built_in(name: &Name) -> bool {
    BUILT_IN
        .parse::<Name>()
        .is_ok_and(|built_in| built_in.matches(name))
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn quantize(
    name: &Name,
    checkpoint: &Checkpoint,
    making: &Making<'_>,
    out: &mut dyn Write,
) -> std::result::Result<Vec<String>, Failed> {
    let options = Options {
        mixture: making.mixture,
        allow_requantize: making.allow_requantize,
        name: Some(name.model().to_owned()),
        ..Options::default()
    };
    let from = Config::of(checkpoint).file_type;
    let mut tell = |progress: Progress<'_>| match making.mixture {
        Some(to) => (making.quantizing)(Quantizing {
            from: &from,
            to,
            progress,
        }),
        None => ControlFlow::Continue(()),
    };
    Ok(convert(checkpoint, &options, &mut tell, out)?.notes)
}

fn check_template(source: &str) -> std::result::Result<(), String> {
    GoTemplate::new(source)
        .map(drop)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use hearth_store::{Store, config::Settings};

    use super::*;

    #[test]
    fn the_built_in_model_can_be_built_on() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(Store::new(folder.path()), Settings::default());
        let recipe = Recipe {
            from: vec![Base::Name("BARD".parse().unwrap())],
            system: Some("be brief".to_owned()),
            ..Recipe::default()
        };
        let steps = RefCell::new(0);
        let making = Making {
            mixture: Some(Mixture::F16),
            quantizing: &|quantizing| {
                assert_eq!((quantizing.from, quantizing.to), ("Q8_0", Mixture::F16));
                *steps.borrow_mut() += 1;
                ControlFlow::Continue(())
            },
            ..Making::new(&|_| {})
        };
        let name: Name = "mine".parse().unwrap();
        let made = library.make(&name, recipe.clone(), &making);
        assert!(
            made.unwrap_err().to_string().contains("quantised"),
            "quantised weights are not quantised again unasked"
        );
        let making = Making {
            allow_requantize: true,
            ..making
        };
        let made = library.make(&name, recipe.clone(), &making).unwrap();
        assert_eq!(library.store.config(&made.entry).unwrap().file_type, "F16");
        assert!(*steps.borrow() > 0);
        let stopping = Making {
            quantizing: &|_| ControlFlow::Break(()),
            ..making
        };
        let other: Name = "other".parse().unwrap();
        assert!(library.make(&other, recipe, &stopping).is_err());
        assert!(library.store.find(&other).unwrap().is_none());
    }
}
