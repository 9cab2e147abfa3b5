//! Reading GBNF.

use std::collections::HashMap;

use super::{
    LONGEST, Mistake, Tokens,
    expression::{Characters, Expression, Rule, Rules},
};

/// Groups within groups.
const DEEPEST: usize = 64;
/// A repetition that must happen more often is refused, one that may is unbounded.
const MOST_REPEATS: u32 = 2000;
const MOST_RULES: usize = 4000;
/// Repetitions within one item: `x*?+`.
const MOST_OPERATORS: usize = 4;

type Parsed<T> = Result<T, Mistake>;

pub(super) fn parse(text: &str, tokens: &dyn Tokens) -> Parsed<Rules> {
    if text.len() > LONGEST {
        let length = text.len();
        let reason = format!("{length} bytes, but at most {LONGEST} are accepted");
        return Err(Mistake::new(0, reason));
    }
    let mut parser = Parser {
        text,
        offset: 0,
        tokens,
        indices: HashMap::new(),
        rules: Vec::new(),
        depth: 0,
    };
    parser.blanks(true);
    while parser.peek().is_some() {
        parser.rule()?;
        parser.blanks(true);
    }
    parser.finish()
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
    tokens: &'a dyn Tokens,
    indices: HashMap<&'a str, usize>,
    /// By index: where each is named first, and what it is once defined.
    rules: Vec<(&'a str, usize, Option<Expression>)>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn finish(self) -> Parsed<Rules> {
        let defined = |(name, offset, body): (&str, usize, Option<Expression>)| match body {
            Some(body) => Ok(Rule {
                name: name.to_owned(),
                offset,
                body,
            }),
            None => Err(Mistake::new(
                offset,
                format!("the rule `{name}` is used but not defined; add `{name} ::= …`"),
            )),
        };
        let root = self.indices.get("root").copied();
        let end = self.text.len();
        let rules = self.rules.into_iter().map(defined);
        let rules = rules.collect::<Parsed<Vec<_>>>()?;
        let root = root.ok_or_else(|| {
            Mistake::new(
                end,
                "there is no rule `root`; add `root ::= …`, what an answer is",
            )
        })?;
        Ok(Rules { rules, root })
    }

    fn rule(&mut self) -> Parsed<()> {
        let start = self.offset;
        let name = self.name();
        if name.is_empty() {
            return Err(self.expected("the name of a rule (letters, digits and `-`)"));
        }
        self.blanks(false);
        if !self.take("::=") {
            return Err(self.expected("`::=`"));
        }
        self.blanks(true);
        let body = self.choice(false)?;
        self.blanks(false);
        if !matches!(self.peek(), None | Some('\n' | '\r')) {
            return Err(self.expected("an item, `|` or the end of the line"));
        }
        let index = self.index(name, start)?;
        let rule = &mut self.rules[index];
        rule.1 = start;
        rule.2 = Some(body);
        Ok(())
    }

    fn index(&mut self, name: &'a str, offset: usize) -> Parsed<usize> {
        let next = self.rules.len();
        if let Some(&index) = self.indices.get(name) {
            return Ok(index);
        }
        if next == MOST_RULES {
            let reason = format!("more than {MOST_RULES} rules");
            return Err(Mistake::new(offset, reason));
        }
        self.indices.insert(name, next);
        self.rules.push((name, offset, None));
        Ok(next)
    }

    fn choice(&mut self, nested: bool) -> Parsed<Expression> {
        let mut items = vec![self.sequence(nested)?];
        while self.bar(nested) {
            self.blanks(true);
            items.push(self.sequence(nested)?);
        }
        Ok(Expression::choice(items))
    }

    /// Takes a `|`, which may also begin the next line.
    fn bar(&mut self, nested: bool) -> bool {
        let before = self.offset;
        self.blanks(true);
        let found = self.take("|");
        if !found && !nested {
            self.offset = before;
        }
        found
    }

    fn sequence(&mut self, nested: bool) -> Parsed<Expression> {
        let mut items = Vec::new();
        loop {
            self.blanks(nested);
            match self.item()? {
                Some(item) => items.push(self.repeated(item)?),
                None => return Ok(Expression::sequence(items)),
            }
        }
    }

    fn item(&mut self) -> Parsed<Option<Expression>> {
        let start = self.offset;
        let item = match self.peek() {
            Some('"') => self.literal()?,
            Some('[') => self.class()?,
            Some('(') => self.group()?,
            Some('.') => {
                self.offset += 1;
                Expression::Characters(Characters::any())
            }
            Some('!' | '<') => self.token()?,
            Some(c) if is_word(c) => {
                let name = self.name();
                // The next rule begins without the line having ended.
                if self.text[self.offset..]
                    .trim_start_matches([' ', '\t'])
                    .starts_with("::=")
                {
                    self.offset = start;
                    return Err(self.expected("the end of the line before another rule"));
                }
                Expression::Rule(self.index(name, start)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(item))
    }

    fn group(&mut self) -> Parsed<Expression> {
        if self.depth == DEEPEST {
            let reason = format!("more than {DEEPEST} groups within each other");
            return Err(Mistake::new(self.offset, reason));
        }
        self.depth += 1;
        self.offset += 1;
        let inner = self.choice(true)?;
        self.blanks(true);
        if !self.take(")") {
            return Err(self.expected("an item, `|` or `)`"));
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn literal(&mut self) -> Parsed<Expression> {
        let start = self.offset;
        self.offset += 1;
        let mut items = Vec::new();
        loop {
            match self.peek() {
                None => {
                    return Err(Mistake::new(
                        start,
                        "the text that begins here has no closing `\"`",
                    ));
                }
                Some('"') => {
                    self.offset += 1;
                    return Ok(Expression::sequence(items));
                }
                Some(_) => items.push(Expression::Characters(Characters::one(self.character()?))),
            }
        }
    }

    fn class(&mut self) -> Parsed<Expression> {
        let start = self.offset;
        self.offset += 1;
        let negated = self.take("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None => {
                    return Err(Mistake::new(
                        start,
                        "the class that begins here has no closing `]`",
                    ));
                }
                Some(']') => break,
                Some(_) => ranges.push(self.range()?),
            }
        }
        self.offset += 1;
        let characters = Characters::of(ranges, negated);
        if characters.ranges().is_empty() {
            return Err(Mistake::new(
                start,
                "no character is in this class; remove it or fill it",
            ));
        }
        Ok(Expression::Characters(characters))
    }

    fn range(&mut self) -> Parsed<(u32, u32)> {
        let start = self.offset;
        let low = self.character()?;
        let rest = &self.text[self.offset..];
        if !rest.starts_with('-') || rest.starts_with("-]") || rest.len() == 1 {
            return Ok((low.into(), low.into()));
        }
        self.offset += 1;
        let high = self.character()?;
        if high < low {
            let reason = format!("the range {low:?} to {high:?} goes backwards");
            return Err(Mistake::new(start, reason));
        }
        Ok((low.into(), high.into()))
    }

    /// A character of a text or class, escaped or not.
    fn character(&mut self) -> Parsed<char> {
        let start = self.offset;
        let found = self.next();
        if found != Some('\\') {
            return found.ok_or_else(|| self.expected("a character"));
        }
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => {
                let reason = r#"unknown escape; expected one of \n \r \t \\ \" \[ \] \- \xHH \uHHHH \UHHHHHHHH"#;
                return Err(Mistake::new(start, reason));
            }
        };
        let hex = self.text[self.offset..].get(..digits);
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let Some(value) = value else {
            let reason = format!("expected {digits} hexadecimal digits after the escape");
            return Err(Mistake::new(start, reason));
        };
        self.offset += digits;
        char::from_u32(value)
            .ok_or_else(|| Mistake::new(start, format!("{value:#x} is not a character")))
    }

    /// `<[id]>` or `<text>`, with `!` any token but that.
    fn token(&mut self) -> Parsed<Expression> {
        let start = self.offset;
        let negated = self.take("!");
        if self.peek() != Some('<') {
            return Err(self.expected("`<`, a token, after `!`"));
        }
        let rest = &self.text[self.offset..];
        let Some(length) = rest.find('>').map(|end| end + 1) else {
            return Err(Mistake::new(
                start,
                "the token that begins here has no closing `>`",
            ));
        };
        let text = &rest[..length];
        let number = text.strip_prefix("<[").and_then(|t| t.strip_suffix("]>"));
        let count = self.tokens.count();
        let id = match number {
            Some(number) => number
                .parse()
                .ok()
                .filter(|&id: &u32| (id as usize) < count),
            None => self.tokens.named(text),
        };
        let Some(id) = id else {
            let reason = match number {
                Some(_) => format!("`{text}` is no token; expected an id below {count}"),
                None => format!(
                    "no token is spelled `{text}`; write a text in quotes or an id as `<[id]>`"
                ),
            };
            return Err(Mistake::new(start, reason));
        };
        self.offset += length;
        Ok(Expression::Token { id, negated })
    }

    fn repeated(&mut self, mut item: Expression) -> Parsed<Expression> {
        for _ in 0..MOST_OPERATORS {
            let before = self.offset;
            self.blanks(self.depth > 0);
            let Some((min, max)) = self.operator()? else {
                self.offset = before;
                return Ok(item);
            };
            item = repeat(item, min, max);
        }
        let reason = format!("more than {MOST_OPERATORS} repetitions of one item");
        Err(Mistake::new(self.offset, reason))
    }

    /// The bounds of a repetition, if one stands here.
    fn operator(&mut self) -> Parsed<Option<(u32, Option<u32>)>> {
        for (sign, bounds) in [("*", (0, None)), ("+", (1, None)), ("?", (0, Some(1)))] {
            if self.take(sign) {
                return Ok(Some(bounds));
            }
        }
        let start = self.offset;
        if !self.take("{") {
            return Ok(None);
        }
        let min = self.number()?;
        self.blanks(false);
        let max = if self.take(",") {
            self.blanks(false);
            match self.peek() {
                Some('}') => None,
                _ => Some(self.number()?),
            }
        } else {
            Some(min)
        };
        self.blanks(false);
        if !self.take("}") {
            return Err(self.expected("`}`, `,` or a number"));
        }
        if min > MOST_REPEATS {
            let reason = format!("at least {min} repetitions; expected at most {MOST_REPEATS}");
            return Err(Mistake::new(start, reason));
        }
        if let Some(max) = max.filter(|&max| max < min) {
            let reason = format!("at least {min}, but at most {max} repetitions");
            return Err(Mistake::new(start, reason));
        }
        Ok(Some((min, max.filter(|&max| max <= MOST_REPEATS))))
    }

    fn number(&mut self) -> Parsed<u32> {
        let rest = &self.text[self.offset..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(self.expected("a number of repetitions"));
        }
        self.offset += digits;
        // More digits than fit are more than is accepted.
        Ok(rest[..digits].parse().unwrap_or(u32::MAX))
    }

    fn name(&mut self) -> &'a str {
        let rest = &self.text[self.offset..];
        let name = &rest[..rest.len() - rest.trim_start_matches(is_word).len()];
        self.offset += name.len();
        name
    }

    /// Skips blanks and comments, and newlines where the rule goes on.
    fn blanks(&mut self, newlines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.offset += 1,
                '\n' | '\r' if newlines => self.offset += 1,
                '#' => {
                    let rest = &self.text[self.offset..];
                    self.offset += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.offset += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.text[self.offset..].starts_with(text);
        if found {
            self.offset += text.len();
        }
        found
    }

    fn expected(&self, what: &str) -> Mistake {
        let found = match self.peek() {
            Some(c) => format!("{c:?}"),
            None => "the end".to_owned(),
        };
        Mistake::new(self.offset, format!("expected {what}, found {found}"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn repeat(of: Expression, min: u32, max: Option<u32>) -> Expression {
    match (min, max) {
        (_, Some(0)) => Expression::Sequence(Vec::new()),
        (1, Some(1)) => of,
        _ => Expression::Repeat {
            of: Box::new(of),
            min,
            max,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Four;

    impl Tokens for Four {
        fn named(&self, text: &str) -> Option<u32> {
            (text == "<tool>").then_some(3)
        }

        fn count(&self) -> usize {
            4
        }

        fn ends(&self) -> Vec<u32> {
            vec![0]
        }
    }

    fn body(text: &str) -> Expression {
        let rules = parse(&format!("root ::= {text}"), &Four);
        let rules = rules.unwrap_or_else(|mistake| panic!("{text}: {}", mistake.at(text)));
        rules.rules[rules.root].body.clone()
    }

    #[test]
    fn spellings_of_the_same() {
        for (left, right) in [
            (r#""\x41\u0042\U00000043""#, "\"ABC\""),
            (r#""\"\[\]\-\\""#, r#"[\"] [\[] [\]] [-] [\\]"#),
            ("[a-c-]", "[a\\-bc]"),
            ("\"a\"{2,2}", "\"a\" {2}"),
            ("\"a\"{1}", "\"a\""),
            ("\"a\"{3,9999}", "\"a\"{3,}"),
            ("(\"a\" | \n # c\n \"b\" # d\n )", "\"a\"\n  | \"b\""),
            ("\"ab\"*", "(\"a\" \"b\") *"),
            ("<tool>", "<[3]>"),
            ("", "\"\""),
        ] {
            assert_eq!(body(left), body(right), "{left} {right}");
        }
        assert!(matches!(
            body("!<[2]>"),
            Expression::Token {
                id: 2,
                negated: true
            }
        ));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, line, column) in [
            ("", 1, 1),
            ("a ::= \"x\"", 1, 10),
            ("root ::= a\nb ::= c", 1, 10),
            ("root = a", 1, 6),
            ("root ::= \"a", 1, 10),
            ("root ::= é", 1, 10),
            ("# é\nroot ::= \"é\" [a", 2, 14),
            ("root ::= [z-a]", 1, 11),
            ("root ::= []", 1, 10),
            ("root ::= \"\\q\"", 1, 11),
            ("root ::= \"\\xg0\"", 1, 11),
            ("root ::= \"\\ud800\"", 1, 11),
            ("root ::= (\"a\"", 1, 14),
            ("root ::= \"a\")", 1, 13),
            ("root ::= \"a\"{", 1, 14),
            ("root ::= \"a\"{,3}", 1, 14),
            ("root ::= \"a\"{3,2}", 1, 13),
            ("root ::= \"a\"{2001}", 1, 13),
            ("root ::= \"a\"{99999999999}", 1, 13),
            ("root ::= *", 1, 10),
            ("root ::= <[4]>", 1, 10),
            ("root ::= <[x]>", 1, 10),
            ("root ::= <text", 1, 10),
            ("root ::= <other>", 1, 10),
            ("root ::= !a", 1, 11),
            ("root ::= a b ::= \"x\"", 1, 12),
            ("root_x ::= \"a\"", 1, 5),
        ] {
            match parse(text, &Four).map_err(|mistake| mistake.at(text)) {
                Err(crate::Error::Gbnf {
                    line: l,
                    column: c,
                    reason,
                }) => {
                    assert_eq!((l, c), (line, column), "{text}: {reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn size_is_bounded() {
        let many: String = (0..5000).map(|n| format!("r{n} ::= \"x\"\n")).collect();
        for text in [
            "(".repeat(1000),
            format!("root ::= {}", "(".repeat(100_000)),
            format!("root ::= \"a\"{}", "?".repeat(100_000)),
            many,
            " ".repeat(LONGEST + 1),
        ] {
            assert!(parse(&text, &Four).is_err());
        }
    }
}
