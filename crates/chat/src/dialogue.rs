//! A template in either language.

use crate::error::Result;
use crate::go::{GoRequest, GoTemplate};
use crate::template::{Request, Template};

/// A model's chat template, in the language it is written in.
#[derive(Debug, Clone)]
pub enum ChatTemplate {
    /// Jinja, as model files hold it.
    Jinja(Template),
    /// Go's language, as Ollama's Modelfiles hold it.
    Go(GoTemplate),
}

impl ChatTemplate {
    /// The prompt for `request`; for a Go template as [`GoRequest::from`] reads it.
    ///
    /// # Errors
    ///
    /// Those of [`Template::render`] and [`GoTemplate::render`].
    pub fn render(&self, request: &Request) -> Result<String> {
        match self {
            Self::Jinja(template) => template.render(request),
            Self::Go(template) => template.render(&GoRequest::from(request)),
        }
    }

    /// The text of the template.
    pub fn source(&self) -> &str {
        match self {
            Self::Jinja(template) => template.source(),
            Self::Go(template) => template.source(),
        }
    }

    /// The text that ends an assistant's turn, such as `<|im_end|>`; see [`Template::turn_end`].
    pub fn turn_end(&self) -> Option<String> {
        match self {
            Self::Jinja(template) => template.turn_end(),
            Self::Go(template) => template.turn_end(),
        }
    }
}

impl From<Template> for ChatTemplate {
    fn from(template: Template) -> Self {
        Self::Jinja(template)
    }
}

impl From<GoTemplate> for ChatTemplate {
    fn from(template: GoTemplate) -> Self {
        Self::Go(template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, SpecialTokens, go};

    #[test]
    fn both_languages_make_the_same_prompt() {
        let jinja = Template::by_name("chatml", SpecialTokens::default()).unwrap();
        let go = GoTemplate::new(go::by_name("chatml").unwrap().source).unwrap();
        let request = Request {
            messages: vec![Message::new("system", "S"), Message::new("user", "U")],
            add_generation_prompt: true,
            ..Request::default()
        };
        let sources = [jinja.source().to_owned(), go.source().to_owned()];
        for (template, source) in [jinja.into(), go.into()].iter().zip(sources) {
            let template: &ChatTemplate = template;
            assert_eq!(
                template.render(&request).as_deref(),
                Ok(
                    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
                ),
            );
            assert_eq!(template.turn_end().as_deref(), Some("<|im_end|>"));
            assert_eq!(template.source(), source);
        }
    }
}
