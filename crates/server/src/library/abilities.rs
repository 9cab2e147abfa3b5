//! What can be told of a model without loading it.

use hearth_chat::{SpecialTokens, output};
use hearth_engine::Capabilities;
use hearth_format::Checkpoint;
use hearth_model::{Settings, families};
use hearth_store::Package;
use hearth_tokenizer::Tokenizer;

use super::voice::Chosen;

/// What a model can do, as its files say.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// The text of the template that it is spoken to with.
    pub template: String,
    /// What that has places for; nothing where it cannot be read.
    pub spoken: output::Capabilities,
    /// It answers with text; others give vectors or scores.
    pub generates: bool,
    /// Its vocabulary has tokens for what stands before and behind a gap.
    pub inserts: bool,
}

impl Abilities {
    /// Reads them. What cannot be read is not there: a model of an architecture that hearth cannot run can be shown.
    pub fn of(checkpoint: &Checkpoint, package: Option<&Package>) -> Self {
        let spec = Settings::new(checkpoint, None)
            .and_then(|settings| families::find(&settings)?.spec(&settings))
            .ok();
        let tokenizer = Tokenizer::from_checkpoint(checkpoint).ok();
        let has = |text: &str| {
            let tokenizer = tokenizer.as_ref();
            tokenizer.is_some_and(|tokenizer| tokenizer.token_to_id(text).is_some())
        };
        let family = spec.as_ref().map_or("", |spec| spec.family);
        let chosen = Chosen::of(package, checkpoint, &has, family);
        let spoken = chosen.parse(SpecialTokens::default());
        let gap = tokenizer.as_ref().is_some_and(|tokenizer| {
            let roles = tokenizer.roles();
            let all = [roles.fim_prefix, roles.fim_suffix, roles.fim_middle];
            all.iter().all(Option::is_some)
        });
        Self {
            template: chosen.source().to_owned(),
            spoken: spoken
                .map(|template| output::Capabilities::of(&template))
                .unwrap_or_default(),
            generates: spec.is_none_or(|spec| Capabilities::of(&spec).generate),
            inserts: gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Located;

    #[test]
    fn the_built_in_model_generates_text() {
        let checkpoint = Located::bard().open().unwrap();
        let abilities = Abilities::of(&checkpoint, None);
        assert!(abilities.generates && !abilities.inserts && !abilities.spoken.tools);
        assert!(!abilities.template.is_empty());
    }
}
