//! Regular expressions, Lark, and what every matcher does.

use hearth_grammar::{Error, Grammar};

use crate::support::{END, TOOL, bytes, check, follow, matcher};

fn regex(pattern: &str) -> Grammar {
    Grammar::Regex(pattern.to_owned())
}

#[test]
fn a_regex_matches_the_whole_answer() {
    for (pattern, good, bad) in [
        (
            "[0-9]{2,3}",
            &["12", "123"][..],
            &["1", "1234", "a12", "12a"][..],
        ),
        ("^yes|no$", &["yes", "no"], &["yesno", "y", ""]),
        (r"a\$", &["a$"], &["a", "a\\"]),
        (r"a\\$", &["a\\"], &["a\\$"]),
        ("(a/b)?", &["", "a/b"], &["a"]),
        ("", &[""], &["a", " "]),
        ("^$", &[""], &["a"]),
        (r"\w+ü?", &["ab", "abü", "日本"], &["a b"]),
        ("(?i)ja", &["JA", "jA"], &["j"]),
        ("a\nb", &["a\nb"], &["a", "ab"]),
        (r"(a|b)*abb", &["abb", "aababb"], &["ab"]),
    ] {
        check(&regex(pattern), good, bad);
    }
}

#[test]
fn a_regex_that_has_no_automaton_is_refused() {
    for pattern in [
        "(?=a)b", "(?<!a)b", r"(a)\1", "(", "[b-a]", "a**{", "\\", r"a\\\", "*",
    ] {
        match bytes().matcher(&regex(pattern)) {
            Err(Error::Regex { reason }) => println!("{pattern}: {reason}"),
            other => panic!("{pattern}: {other:?}"),
        }
    }
}

#[test]
fn lark_knows_rules_terminals_json_and_tokens() {
    let lark = |text: &str| Grammar::Lark(text.to_owned());
    check(
        &lark("start: \"a\" b+ | C\nb: \"(\" start \")\"\nC: /[0-9]+/"),
        &["1", "a(1)", "a(a(22))(3)"],
        &["", "a", "a()", "a(1"],
    );
    check(
        &lark("start: \"x=\" %json {\"type\":\"integer\"}"),
        &["x=1", "x=-20"],
        &["x=", "x=a"],
    );
    let mut tokens = matcher(&lark("start: <tool> \"a\" <[257]>"));
    for (token, allowed) in [(TOOL, vec![TOOL]), (97, vec![97]), (TOOL, vec![TOOL])] {
        assert_eq!(tokens.mask().unwrap().iter().collect::<Vec<_>>(), allowed);
        tokens.accept(token).unwrap();
    }
    assert!(tokens.must_end());
    for text in [
        "start: ",
        "start: b",
        "start: \"a",
        "x: \"a\"",
        "start: <absent>",
        "",
        "start: start: a",
    ] {
        match bytes().matcher(&lark(text)) {
            Err(Error::Lark { reason }) => println!("{text}: {reason}"),
            // An empty rule is the empty text.
            Ok(_) if text == "start: " => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_refused_token_changes_nothing() {
    let mut matcher = matcher(&regex("ab+"));
    assert!(!matcher.may_end());
    for token in [u32::from(b'b'), END, TOOL, 258, 299, 300, u32::MAX] {
        let refused = matcher.accept(token);
        assert!(matches!(refused, Err(Error::Refused { token: t, .. }) if t == token));
    }
    assert_eq!(follow(&mut matcher, b"ab"), 2);
    assert!(matcher.may_end() && !matcher.must_end());
    assert_eq!(
        matcher.mask().unwrap().iter().collect::<Vec<_>>(),
        [98, END]
    );
    matcher.accept(END).unwrap();
    assert!(matcher.must_end());
}

#[test]
fn after_the_end_only_end_tokens_are_allowed() {
    for pattern in ["", "ab"] {
        let mut matcher = matcher(&regex(pattern));
        assert_eq!(follow(&mut matcher, pattern.as_bytes()), pattern.len());
        assert!(matcher.must_end() && matcher.may_end());
        let mask = matcher.mask().unwrap();
        assert_eq!((mask.rows(), mask.count()), (300, 1));
        assert!(mask.allows(END));
        assert!(matcher.forced().is_empty());
        assert!(matcher.accept(97).is_err());
        matcher.accept(END).unwrap();
        matcher.accept(END).unwrap();
        assert!(matcher.must_end());
    }
}

#[test]
fn forks_go_their_own_ways() {
    let mut first = matcher(&regex("a(b|cd)"));
    assert_eq!(first.forced(), [97]);
    first.accept(97).unwrap();
    let mut second = first.fork();
    first.accept(98).unwrap();
    assert!(first.must_end() && !second.may_end());
    second.accept(99).unwrap();
    assert_eq!(second.forced(), [100]);
    let thread = std::thread::spawn(move || {
        second.accept(100).unwrap();
        second.must_end()
    });
    assert!(thread.join().unwrap());
}
