//! Texts that end an answer.

/// Looks for stop texts in a stream; what could still become one is held back.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    texts: Vec<String>,
    held: String,
    found: Option<usize>,
}

impl Stops {
    /// A search for any of `texts`; empty ones are ignored.
    pub fn new(texts: Vec<String>) -> Self {
        Self {
            texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
            held: String::new(),
            found: None,
        }
    }

    /// The stop that was found.
    pub fn found(&self) -> Option<&str> {
        self.found.map(|index| self.texts[index].as_str())
    }

    /// Takes more text. Returns what is certain not to belong to a stop, and whether one was found: then the text ends
    /// before it.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let places = self.texts.iter().enumerate();
        if let Some((at, index)) = places
            .filter_map(|(index, stop)| Some((self.held.find(stop.as_str())?, index)))
            .min()
        {
            self.found = Some(index);
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begun = self
            .texts
            .iter()
            .map(|stop| begun(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - begun);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn begun(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().skip(1).map(|(at, _)| at);
    starts
        .filter(|at| text.ends_with(&stop[..*at]))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_before_a_stop_comes_out_whole_in_any_pieces() {
        let cases = [
            ("no stop here", "no stop here", false),
            ("abc<|end|>def", "abc", true),
            ("a<|en b", "a<|en b", false),
            ("<|end|>", "", true),
            ("x\nUser: y", "x", true),
            ("ü<|e<|end|>", "ü<|e", true),
            ("tail <|en", "tail <|en", false),
        ];
        for (text, want, stopped) in cases {
            for size in 1..6 {
                let mut stops = Stops::new(vec!["<|end|>".into(), "\nUser:".into(), String::new()]);
                let (mut out, mut found) = (String::new(), false);
                let chars: Vec<char> = text.chars().collect();
                for piece in chars.chunks(size) {
                    let (part, stop) = stops.push(&piece.iter().collect::<String>());
                    out += &part;
                    if stop {
                        found = true;
                        break;
                    }
                }
                if !found {
                    out += &stops.finish();
                }
                assert_eq!((out.as_str(), found), (want, stopped), "{text:?} by {size}");
            }
        }
    }
}
