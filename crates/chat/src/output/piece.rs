//! What output consists of.

/// A part of a stream of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More of what the model thinks; never empty.
    Reasoning(String),
    /// More of what it says; never empty.
    Content(String),
    /// A call begins.
    Call {
        /// Which call of this answer, from 0.
        index: usize,
        /// The id that the model gave it; most models give none.
        id: Option<String>,
        /// The tool, as the request named it.
        name: String,
    },
    /// More of the arguments of a call; never empty. All of them together are the text of a JSON
    /// object, unless the model broke off or its JSON is invalid.
    Arguments {
        /// Which call.
        index: usize,
        /// The next part of the JSON text.
        text: String,
    },
}

/// A whole output, collected from its pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What the model thought.
    pub reasoning: String,
    /// What it said.
    pub content: String,
    /// What it called, in order.
    pub calls: Vec<Call>,
}

/// A whole call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The id that the model gave it.
    pub id: Option<String>,
    /// The tool, as the request named it.
    pub name: String,
    /// The text of a JSON object, unless the model broke off or its JSON is invalid.
    pub arguments: String,
}

impl Extend<Piece> for Output {
    fn extend<I: IntoIterator<Item = Piece>>(&mut self, pieces: I) {
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => self.reasoning += &text,
                Piece::Content(text) => self.content += &text,
                Piece::Call { id, name, .. } => self.calls.push(Call {
                    id,
                    name,
                    arguments: String::new(),
                }),
                Piece::Arguments { index, text } => {
                    if let Some(call) = self.calls.get_mut(index) {
                        call.arguments += &text;
                    }
                }
            }
        }
    }
}

impl FromIterator<Piece> for Output {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut output = Self::default();
        output.extend(pieces);
        output
    }
}
