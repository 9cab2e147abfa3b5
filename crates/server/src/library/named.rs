//! Names that only this server knows: a model, and what the name sets for it.

use std::sync::Arc;

use hearth_store::Name;

use super::{BUILT_IN, Error, Library, Located, Parameters, Result};

/// A name and what it means.
#[derive(Clone)]
pub struct Named {
    /// The name; it is in every answer.
    pub title: String,
    /// Others that mean the same.
    pub aliases: Vec<String>,
    /// The model.
    pub means: Means,
    /// What the name sets, over what the model does.
    pub sets: Arc<Parameters>,
}

/// The model of a name.
#[derive(Clone)]
pub enum Means {
    /// This one.
    Here(Box<Located>),
    /// What the store or another program has under the first of these names that is there.
    Called(Vec<Name>),
}

impl Named {
    /// The one that a client means: a title comes before the aliases of others.
    pub(super) fn find<'n>(all: &'n [Self], name: &str) -> Option<&'n Self> {
        let is_alias = |named: &&Self| named.aliases.iter().any(|alias| alias == name);
        let titled = all.iter().find(|named| named.title == name);
        titled.or_else(|| all.iter().find(is_alias))
    }

    /// The model under its name.
    ///
    /// # Errors
    /// When it is not on this machine, or cannot be read.
    pub fn locate(&self, library: &Library) -> Result<Located> {
        let located = match &self.means {
            Means::Here(located) => located.as_ref().clone(),
            Means::Called(names) => self.called(library, names)?,
        };
        Ok(Located {
            title: self.title.clone(),
            sets: Some(Arc::clone(&self.sets)),
            ..located
        })
    }

    fn called(&self, library: &Library, names: &[Name]) -> Result<Located> {
        for name in names {
            if let Some(located) = library.find(name)? {
                return Ok(located);
            }
            if super::is_built_in(name) {
                return Ok(Located::bard());
            }
        }
        Err(Error::NotFetched {
            title: self.title.clone(),
            name: names.last().map_or(BUILT_IN.to_owned(), Name::to_string),
        })
    }
}
