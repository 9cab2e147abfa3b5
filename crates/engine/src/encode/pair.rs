//! A query and a document as one text (format notes 5.4.0).

use hearth_model::{Classifier, Text};
use hearth_tokenizer::{EncodeOptions, Tokenizer};

/// Their tokens.
pub(super) struct Pair {
    tokens: Vec<u32>,
    /// Where the document begins, for models that tell the two apart.
    second: usize,
}

impl Pair {
    /// By the model's own template, or `BOS query EOS [SEP] document EOS`, with what of that the vocabulary puts around
    /// a text.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        classifier: &Classifier,
        query: &str,
        document: &str,
    ) -> Self {
        match &classifier.template {
            Some(template) => Self::by_template(tokenizer, template, query, document),
            None => Self::by_markers(tokenizer, classifier.separator, query, document),
        }
    }

    pub(super) fn text(&self) -> Text<'_> {
        Text {
            tokens: &self.tokens,
            second: self.second,
        }
    }

    fn by_markers(tokenizer: &Tokenizer, separator: bool, query: &str, document: &str) -> Self {
        let bare = |text: &str| encode(tokenizer, text, false, false);
        let around = encode(tokenizer, "", true, false);
        let (before, after) = around.split_at(usize::from(tokenizer.add_bos()).min(around.len()));
        let separator = tokenizer.roles().separator.filter(|_| separator);
        let mut tokens = before.to_vec();
        tokens.extend(bare(query));
        tokens.extend(after);
        tokens.extend(separator);
        let second = tokens.len();
        tokens.extend(bare(document));
        tokens.extend(after);
        Self { tokens, second }
    }

    fn by_template(tokenizer: &Tokenizer, template: &str, query: &str, document: &str) -> Self {
        let parts: Vec<(&str, bool)> = parts(template, query, document);
        // Markers are the template's alone. Texts that hold some are encoded on their own: words may then be cut
        // differently at their edges.
        let forged = |text: &str| {
            encode(tokenizer, text, false, true) != encode(tokenizer, text, false, false)
        };
        let tokens = if forged(query) || forged(document) {
            let pieces = parts.iter();
            pieces
                .flat_map(|(text, own)| encode(tokenizer, text, false, *own))
                .collect()
        } else {
            let text: String = parts.iter().map(|(text, _)| *text).collect();
            encode(tokenizer, &text, false, true)
        };
        Self {
            second: tokens.len(),
            tokens,
        }
    }
}

fn encode(tokenizer: &Tokenizer, text: &str, add_special: bool, parse_special: bool) -> Vec<u32> {
    let options = EncodeOptions {
        add_special,
        parse_special,
    };
    tokenizer.encode(text, options)
}

/// The template cut at its places, with what stands there; whether a part is the template's own. What is put in is not
/// looked at again.
fn parts<'t>(template: &'t str, query: &'t str, document: &'t str) -> Vec<(&'t str, bool)> {
    let places = [("{query}", query), ("{document}", document)];
    let mut parts = Vec::new();
    let mut rest = template;
    loop {
        let next = places
            .into_iter()
            .filter_map(|(place, text)| Some((rest.find(place)?, place, text)))
            .min();
        let Some((at, place, text)) = next else {
            parts.push((rest, true));
            return parts;
        };
        parts.push((&rest[..at], true));
        parts.push((text, false));
        rest = &rest[at + place.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let text = |template, query, document| -> String {
            let parts = parts(template, query, document);
            parts.iter().map(|(text, _)| *text).collect()
        };
        let cases = [
            (("<q>{query}<d>{document}<e>", "a", "b"), "<q>a<d>b<e>"),
            (
                ("{document}{query}", "{document}", "{query}"),
                "{query}{document}",
            ),
            (("{query}{query}", "a", "b"), "aa"),
            (("{nothing}", "a", "b"), "{nothing}"),
            (("", "a", "b"), ""),
        ];
        for ((template, query, document), want) in cases {
            assert_eq!(text(template, query, document), want);
        }
    }
}
