//! Tokens that are found in the text before the algorithm runs: control markers and added tokens.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::{
    Error, Result,
    arena::FastMap,
    unicode::{Classes, WORD},
};

/// One such token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    /// Its id.
    pub id: u32,
    /// What is looked for.
    pub text: String,
    /// Only where special tokens are wanted.
    pub control: bool,
    /// White space before it goes with it.
    pub lstrip: bool,
    /// White space after it goes with it.
    pub rstrip: bool,
    /// Not inside a word.
    pub single_word: bool,
}

/// Which of overlapping tokens wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The leftmost, and of those the longest: `tokenizer.json`.
    Leftmost,
    /// The longest anywhere, of equal ones the lowest id: GGUF.
    Longest,
}

/// A piece of the text between or at markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    /// Text for the algorithm, not empty, and where it begins.
    Text(&'t str, usize),
    /// A marker.
    Token(u32),
}

/// All markers of a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    /// Longest first.
    markers: Vec<Marker>,
    /// Finders for all markers, and for those that need no `special`.
    all: Option<Finder>,
    plain: Option<Finder>,
    /// Whether a longer marker can begin inside a shorter one, so that leftmost is not longest.
    entangled: bool,
}

#[derive(Debug)]
struct Finder {
    leftmost: AhoCorasick,
    /// Which markers occur at all; only built where needed.
    overlapping: Option<AhoCorasick>,
    /// Pattern number to marker.
    numbers: Vec<u32>,
}

type Spans = Vec<(usize, usize, Option<u32>)>;

impl Markers {
    /// Takes the markers of a vocabulary; those without text are left out.
    ///
    /// # Errors
    /// When they are too many or too long for the search automaton.
    pub(crate) fn new(mut markers: Vec<Marker>, order: Order) -> Result<Self> {
        markers.retain(|m| !m.text.is_empty());
        markers.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        markers.dedup_by(|b, a| a.text == b.text);
        let entangled = order == Order::Longest && is_entangled(&markers);
        Ok(Self {
            all: Finder::new(&markers, |_| true, entangled)?,
            plain: Finder::new(&markers, |m| !m.control, entangled)?,
            markers,
            entangled,
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.markers.is_empty()
    }

    /// Hands the fragments of `text` to `emit`, in order. Control markers are found with `special` only.
    pub(crate) fn split<'t>(
        &self,
        text: &'t str,
        special: bool,
        emit: &mut dyn FnMut(Fragment<'t>),
    ) {
        let finder = if special { &self.all } else { &self.plain };
        let Some(finder) = finder else {
            if !text.is_empty() {
                emit(Fragment::Text(text, 0));
            }
            return;
        };
        if self.entangled {
            for (from, to, marker) in self.longest_first(finder, text) {
                emit(match marker {
                    Some(i) => Fragment::Token(self.markers[i as usize].id),
                    None => Fragment::Text(&text[from..to], from),
                });
            }
        } else {
            self.leftmost(finder, text, emit);
        }
    }

    fn leftmost<'t>(&self, finder: &Finder, text: &'t str, emit: &mut dyn FnMut(Fragment<'t>)) {
        let mut done = 0;
        for found in finder.leftmost.find_iter(text) {
            let marker = &self.markers[finder.numbers[found.pattern().as_usize()] as usize];
            if found.start() < done || !marker.stands_alone(text, found.start(), found.end()) {
                continue;
            }
            let (from, to) = marker.grow(text, found.start(), found.end(), done, text.len());
            if from > done {
                emit(Fragment::Text(&text[done..from], done));
            }
            emit(Fragment::Token(marker.id));
            done = to;
        }
        if done < text.len() {
            emit(Fragment::Text(&text[done..], done));
        }
    }

    /// Splits by one marker after the other, longest first.
    fn longest_first(&self, finder: &Finder, text: &str) -> Spans {
        let mut spans: Spans = Vec::new();
        if !text.is_empty() {
            spans.push((0, text.len(), None));
        }
        for number in finder.occurring(text) {
            let marker = &self.markers[number as usize];
            let mut next: Spans = Vec::with_capacity(spans.len());
            for (start, end, token) in spans {
                if token.is_some() {
                    next.push((start, end, token));
                    continue;
                }
                let mut done = start;
                while let Some(at) = text[done..end].find(&marker.text) {
                    let at = done + at;
                    let (from, to) = marker.grow(text, at, at + marker.text.len(), done, end);
                    if from > done {
                        next.push((done, from, None));
                    }
                    next.push((from, to, Some(number)));
                    done = to;
                }
                if done < end {
                    next.push((done, end, None));
                }
            }
            spans = next;
        }
        spans
    }
}

impl Marker {
    /// The span with the white space that goes with it, inside `low..high`.
    fn grow(
        &self,
        text: &str,
        mut from: usize,
        mut to: usize,
        low: usize,
        high: usize,
    ) -> (usize, usize) {
        if self.lstrip {
            from = low + text[low..from].trim_end().len();
        }
        if self.rstrip {
            to = high - text[to..high].trim_start().len();
        }
        (from, to)
    }

    fn stands_alone(&self, text: &str, from: usize, to: usize) -> bool {
        let is_word = |c: Option<char>| c.is_some_and(|c| Classes::get().of(c) & WORD != 0);
        !self.single_word
            || !(is_word(text[..from].chars().next_back()) || is_word(text[to..].chars().next()))
    }
}

impl Finder {
    fn new(
        markers: &[Marker],
        wanted: impl Fn(&Marker) -> bool,
        overlapping: bool,
    ) -> Result<Option<Self>> {
        let numbers: Vec<u32> = (0..markers.len() as u32)
            .filter(|&i| wanted(&markers[i as usize]))
            .collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        let build = |kind| {
            AhoCorasick::builder()
                .match_kind(kind)
                .build(numbers.iter().map(|&i| &markers[i as usize].text))
                .map_err(|e| Error::Invalid {
                    what: "special tokens do not fit a search automaton",
                    found: e.to_string(),
                })
        };
        Ok(Some(Self {
            leftmost: build(MatchKind::LeftmostLongest)?,
            overlapping: overlapping
                .then(|| build(MatchKind::Standard))
                .transpose()?,
            numbers,
        }))
    }

    /// The markers that occur somewhere, longest first.
    fn occurring(&self, text: &str) -> Vec<u32> {
        let mut seen = vec![false; self.numbers.len()];
        let mut left = seen.len();
        for found in self
            .overlapping
            .iter()
            .flat_map(|f| f.find_overlapping_iter(text))
        {
            let seen = &mut seen[found.pattern().as_usize()];
            left -= usize::from(!*seen);
            *seen = true;
            if left == 0 {
                break;
            }
        }
        let numbers = self.numbers.iter().zip(seen);
        numbers.filter(|n| n.1).map(|n| *n.0).collect()
    }
}

/// Longest marker that the check below looks into.
const CHECKED_MAX: usize = 256;

/// Whether some text can hold two markers that overlap, the later one being preferred. `markers` are in order of
/// preference. Runs of one character (newlines) never do that to each other.
fn is_entangled(markers: &[Marker]) -> bool {
    if markers.iter().any(|m| m.text.len() > CHECKED_MAX) {
        return true;
    }
    let run_of = |text: &str| {
        let first = text.chars().next();
        text.chars()
            .all(|c| Some(c) == first)
            .then_some(first)
            .flatten()
    };
    // Proper beginnings, by the first marker of each kind of run that has it.
    let mut beginnings: FastMap<(&str, Option<char>), usize> = FastMap::default();
    for (i, marker) in markers.iter().enumerate() {
        let run = run_of(&marker.text);
        for (at, _) in marker.text.char_indices().skip(1) {
            beginnings.entry((&marker.text[..at], run)).or_insert(i);
        }
    }
    markers.iter().enumerate().any(|(i, marker)| {
        let own = run_of(&marker.text);
        marker.text.char_indices().skip(1).any(|(at, _)| {
            let ending = &marker.text[at..];
            let preferred = |run| beginnings.get(&(ending, run)).is_some_and(|&j| j < i);
            preferred(None) || run_of(ending).is_some_and(|c| own != Some(c) && preferred(Some(c)))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marker(id: usize, text: &str) -> Marker {
        Marker {
            id: id as u32,
            text: text.into(),
            ..Marker::default()
        }
    }

    fn show(markers: &Markers, text: &str, special: bool) -> String {
        let mut out = Vec::new();
        markers.split(text, special, &mut |f| {
            out.push(match f {
                Fragment::Text(t, at) => {
                    assert_eq!(&text[at..at + t.len()], t);
                    t.to_owned()
                }
                Fragment::Token(id) => format!("<{id}>"),
            });
        });
        out.join("|")
    }

    #[test]
    fn the_two_orders() {
        let list = || {
            vec![
                marker(0, "ab"),
                marker(1, "bcd"),
                marker(2, "\n"),
                marker(3, "\n\n"),
            ]
        };
        let leftmost = Markers::new(list(), Order::Leftmost).unwrap();
        let longest = Markers::new(list(), Order::Longest).unwrap();
        assert!(longest.entangled && !leftmost.entangled);
        assert_eq!(show(&leftmost, "abcd\n\n\n", true), "<0>|cd|<3>|<2>");
        assert_eq!(show(&longest, "abcd\n\n\n", true), "a|<1>|<3>|<2>");
        assert!(
            !Markers::new(list()[1..].to_vec(), Order::Longest)
                .unwrap()
                .entangled
        );
    }

    #[test]
    fn white_space_and_words() {
        let list = vec![
            Marker {
                lstrip: true,
                ..marker(0, "<l>")
            },
            Marker {
                rstrip: true,
                control: true,
                ..marker(1, "<r>")
            },
            Marker {
                single_word: true,
                ..marker(2, "one")
            },
        ];
        for order in [Order::Leftmost, Order::Longest] {
            let markers = Markers::new(list.clone(), order).unwrap();
            assert_eq!(show(&markers, "a  <l> b <r>\n c", true), "a|<0>| b |<1>|c");
            assert_eq!(show(&markers, "a<r> c", false), "a<r> c");
            assert_eq!(show(&markers, "", true), "");
        }
        let markers = Markers::new(list, Order::Leftmost).unwrap();
        assert_eq!(show(&markers, "one none one", true), "<2>| none |<2>");
    }

    /// The rule as it is written: by each marker in turn, longest first.
    fn by_the_rule(list: &[String], text: &str) -> String {
        let mut order: Vec<_> = list.iter().enumerate().collect();
        order.sort_by_key(|(i, t)| (std::cmp::Reverse(t.len()), *i));
        let mut parts = vec![(text.to_owned(), false)];
        for (id, marker) in order {
            parts = parts
                .into_iter()
                .flat_map(|(part, done)| {
                    let mut out = Vec::new();
                    if done || marker.is_empty() {
                        return vec![(part, done)];
                    }
                    for (i, piece) in part.split(marker.as_str()).enumerate() {
                        if i > 0 {
                            out.push((format!("<{id}>"), true));
                        }
                        out.push((piece.to_owned(), false));
                    }
                    out
                })
                .collect();
        }
        let kept: Vec<_> = parts
            .into_iter()
            .map(|p| p.0)
            .filter(|p| !p.is_empty())
            .collect();
        kept.join("|")
    }

    proptest! {
        #[test]
        fn longest_wins_everywhere(list in proptest::collection::vec("[ab\n]{1,4}", 0..6), text in "[ab\n]{0,20}") {
            let mut list = list;
            list.sort();
            list.dedup();
            let tokens = list.iter().enumerate().map(|(i, t)| marker(i, t)).collect();
            let markers = Markers::new(tokens, Order::Longest).unwrap();
            prop_assert_eq!(show(&markers, &text, true), by_the_rule(&list, &text));
        }
    }
}
