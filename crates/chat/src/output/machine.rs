//! The reader of output: text with marks in it.

use super::feed::{Feed, Side};
use super::format::{Format, Layout, Row};
use super::tool::{Tool, names};

/// The text is not what it should be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

pub(super) type Read<T = ()> = Result<T, Broken>;

/// What a mark in the text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Close,
    Wrapper,
    Section(usize),
}

/// What the reader knows of the request.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) row: &'static Row,
    pub(super) tools: Vec<Tool>,
    /// The tools' names, as the model writes them.
    pub(super) names: Vec<String>,
    /// What ends each section.
    pub(super) closes: Vec<Vec<String>>,
    pub(super) parallel: bool,
    texts: Vec<String>,
    marks: Vec<Mark>,
    pub(super) reasoning: bool,
}

impl Plan {
    pub(super) fn new(format: &Format, tools: &[Tool], reasoning: bool, parallel: bool) -> Self {
        let row = format.row;
        let mut marked: Vec<(String, Mark)> = Vec::new();
        let mut add = |texts: Vec<String>, mark: Mark| {
            let filled = texts.into_iter().filter(|text| !text.is_empty());
            marked.extend(filled.map(|text| (text, mark)));
        };
        if reasoning {
            add(format.reasoning_starts(), Mark::Open);
            add(format.reasoning_ends(), Mark::Close);
        }
        let wrappers = row.wrappers.iter().map(|&text| text.to_owned());
        add(wrappers.collect(), Mark::Wrapper);
        let sections = 0..row.sections.len();
        for index in sections.clone().filter(|_| !tools.is_empty()) {
            add(format.opens(index), Mark::Section(index));
        }
        let (texts, marks) = marked.into_iter().unzip();
        Self {
            row,
            tools: tools.to_vec(),
            names: names(tools, row.layout == Layout::Messages),
            closes: sections.map(|index| format.closes(index)).collect(),
            parallel,
            texts,
            marks,
            reasoning,
        }
    }
}

/// Where the reader stands in the text.
#[derive(Debug)]
struct Place {
    side: Side,
    /// White space that was read and may belong to a mark.
    space: String,
    /// Nothing but white space was said or thought so far.
    first: bool,
    /// Nothing but white space was said so far.
    unsaid: bool,
    /// White space is dropped, since it follows a mark.
    after_mark: bool,
}

impl Place {
    /// A mark was read: white space on its sides is dropped.
    fn clear(&mut self) {
        self.space.clear();
        self.first = false;
        self.after_mark = true;
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) feed: Feed,
    pub(super) plan: Plan,
    /// How many calls were given out.
    pub(super) calls: usize,
    /// Whether the arguments of a call are being given out.
    pub(super) writing: bool,
}

impl Machine {
    pub(super) fn new(feed: Feed, plan: Plan) -> Self {
        Self {
            feed,
            plan,
            calls: 0,
            writing: false,
        }
    }

    pub(super) async fn run(mut self) {
        match self.plan.row.layout {
            Layout::Flow => self.flow().await,
            Layout::Messages => self.messages().await,
        }
    }

    async fn flow(&mut self) {
        let mut place = Place {
            side: Side::Content,
            space: String::new(),
            first: true,
            unsaid: true,
            after_mark: false,
        };
        while let Some(next) = self.feed.peek().await {
            if next.is_whitespace() {
                self.feed.next().await;
                place.space.push(next);
                continue;
            }
            let (text, marks) = self.marks(&place).await;
            if marks.is_empty() {
                self.feed.next().await;
                self.say(&mut place, next.encode_utf8(&mut [0; 4]));
            } else {
                self.meet(&text, &marks, &mut place).await;
            }
        }
        if place.side == Side::Content && !place.after_mark {
            self.feed.text(Side::Content, &place.space);
        }
    }

    /// The meanings, here, of the mark that stands here, and its text.
    async fn marks(&mut self, place: &Place) -> (String, Vec<Mark>) {
        let Some(found) = self.feed.which(&self.plan.texts).await else {
            return (String::new(), Vec::new());
        };
        let text = self.plan.texts[found].clone();
        let same = (0..self.plan.texts.len()).filter(|&index| self.plan.texts[index] == text);
        let marks = same.map(|index| self.plan.marks[index]);
        let marks = marks.filter(|mark| self.counts(*mark, place)).collect();
        (text, marks)
    }

    /// Whether a mark means something at this place.
    fn counts(&self, mark: Mark, place: &Place) -> bool {
        let thoughts = self.plan.row.thoughts;
        let thinking = place.side == Side::Reasoning;
        match mark {
            Mark::Open => !thinking && (place.first || thoughts.anywhere),
            Mark::Close => thinking || place.first || thoughts.anywhere,
            Mark::Wrapper => !thinking,
            Mark::Section(_) if !self.may_call() => false,
            Mark::Section(index) if self.plan.row.sections[index].bare => !thinking && place.unsaid,
            Mark::Section(_) => !thinking || thoughts.until_call,
        }
    }

    /// Reads on behind a mark. The same text may begin sections of several kinds: the first that
    /// can be read counts.
    async fn meet(&mut self, text: &str, marks: &[Mark], place: &mut Place) {
        for (number, &mark) in marks.iter().enumerate() {
            self.feed.record();
            match mark {
                Mark::Open => place.side = Side::Reasoning,
                Mark::Close => place.side = Side::Content,
                Mark::Wrapper => {}
                Mark::Section(index) => {
                    let before = self.calls;
                    if !self.plan.row.sections[index].bare {
                        self.feed.accept(text).await;
                    }
                    let rest = self.section(index).await;
                    if self.calls == before && number + 1 < marks.len() {
                        self.feed.give_back(&rest);
                        continue;
                    }
                    if self.calls == before {
                        return self.say(place, &rest);
                    }
                    place.side = Side::Content;
                    place.clear();
                    if !rest.trim().is_empty() {
                        self.say(place, &rest);
                    }
                    return;
                }
            }
            self.feed.accept(text).await;
            self.feed.recorded();
            return place.clear();
        }
    }

    /// Gives out text, with the white space before it unless a mark stands before that.
    fn say(&mut self, place: &mut Place, text: &str) {
        if !place.after_mark {
            self.feed.text(place.side, &place.space);
        }
        place.space.clear();
        place.after_mark = false;
        place.first = false;
        place.unsaid &= place.side == Side::Reasoning;
        self.feed.text(place.side, text);
    }

    /// Begins a call whose arguments follow; what was recorded belongs to it.
    pub(super) fn begin(&mut self, tool: usize, id: Option<String>) -> usize {
        let index = self.calls;
        self.calls += 1;
        self.writing = true;
        self.feed.recorded();
        let name = self.plan.tools[tool].name.clone();
        self.feed.call(index, id, name);
        index
    }

    /// Whether another call may be given out.
    pub(super) fn may_call(&self) -> bool {
        self.plan.parallel || self.calls == 0
    }
}
