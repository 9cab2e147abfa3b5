//! GBNF grammars, through the matcher.

use hearth_grammar::{Error, Grammar};

use crate::support::{END, TOOL, bytes, check, matcher};

/// JSON as llama.cpp's own grammar for it has it, in our words.
const JSON: &str = r#"
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [0-9]{0,15})? ws
# Optional space, or a newline and an indentation.
ws     ::= | " " | "\n" [ \t]{0,20}
"#;

/// Sums over names, numbers and groups, one per line; blanks may be newlines as well.
const ARITHMETIC: &str = r#"
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"#;

const UNITS: &str = r#"
root  ::= item ("," ws item){0,4} "\n"
item  ::= "-"? digit+ ("." digit{1,2})? unit?
unit  ::= [ \t]? ("kg" | "m" | "s")
digit ::= [0-9]
ws    ::= " "*
"#;

const CHESS: &str = r#"
root     ::= (move-no ". " move " " move "\n")+
move-no  ::= [1-9] [0-9]?
move     ::= (pawn | nonpawn | castle) [+#]?
nonpawn  ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn     ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle   ::= "O-O" "-O"?
"#;

const JAPANESE: &str = r#"
root     ::= jp+ ([ \t\n] jp+)*
jp       ::= hiragana | katakana | punctuation | cjk
hiragana ::= [ぁ-ゟ]
katakana ::= [ァ-ヿ]
punctuation ::= [、-〾]
cjk      ::= [一-鿿]
"#;

const LIST: &str =
    "root ::= entry+\nentry ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"";

/// What comes after a name is also in the name.
const SWALLOWING: &str = r#"
root ::= "(" root ")" | [a-z]+ "end" | [a-z]* ";" root
"#;

#[test]
fn grammars_take_their_language() {
    for (grammar, good, bad) in [
        (
            JSON,
            &[
                "{}",
                "{\"a\":1}",
                "{ \"a\" : [1.5e-3,\n  true, \"x\\u00e9\\n\"] } ",
                "{\"é\":{\"b\":null}}\n",
            ][..],
            &[
                "[]",
                "{\"a\":01}",
                "{\"a\":}",
                "{,}",
                "{\"a\":1",
                "{  }",
                "{\"\n\":1}",
            ][..],
        ),
        (
            ARITHMETIC,
            &[
                "a=1\n",
                "a+b*(c -2)=x\n\n",
                "a_1 = 2\nb=3\n",
                "(a)=1 \n",
                "a\n=\n1\n",
            ],
            &["a=1", "a+=1\n", "(a=1\n", "=1\n", "1a=2\n", "a=1\nb"],
        ),
        (
            UNITS,
            &["1\n", "-1.25 kg,  3m,4\n", "1,2,3,4,5\n"],
            &["1", "1.234\n", "1,2,3,4,5,6\n", "1  kg\n", "\n"],
        ),
        (
            CHESS,
            &["1. e4 e5\n", "1. e4 e5\n2. Nf3 Nc6\n10. O-O O-O-O+\n"],
            &["1. e4\n", "01. e4 e5\n", "1. z4 e5\n"],
        ),
        (
            JAPANESE,
            &["日本語", "ひらがな カタカナ", "、。\n一"],
            &["", "日本 ", "a", "日\u{ac00}"],
        ),
        (
            LIST,
            &["- a\n", "- a - b\n- é\n"],
            &["", "-a\n", "- \n", "- a", "- a\u{85}\n"],
        ),
        (
            SWALLOWING,
            &["xend", "endend", "(end;aend)", ";;aend", "aendend"],
            &["end", "a", "(aend", "aend)", ";"],
        ),
        ("root ::= | \"x\" root", &["", "xxx"], &["y", "xy"]),
        (
            "root ::= \"a\"? \"a\"? \"a\"",
            &["a", "aa", "aaa"],
            &["", "aaaa"],
        ),
        (
            "root ::= a b | c\na ::= \"x\" | \"xy\"\nb ::= \"yz\" | \"z\"\nc ::= \"(\" root \")\"",
            &["xz", "xyz", "xyyz", "((xyz))"],
            &["x", "xyzz", "(xz"],
        ),
        (
            "root ::= [a-c]{2} | \"(\" root{2,3} \")\"",
            &["ab", "(abcc)", "(ab(ababab)ab)"],
            &["a", "(ab)", "(abababab)"],
        ),
        ("root ::= . .", &["aé", "\n\n", "🙂🙂"], &["a", "abc"]),
        (
            "root ::= [^é] \"è\" | \"é\" root",
            &["aè", "èè", "éaè", "ééèè"],
            &["éè", "è", "é"],
        ),
        ("root ::= \"a\"\nroot ::= \"b\"", &["b"], &["a"]),
    ] {
        check(&Grammar::Gbnf(grammar.to_owned()), good, bad);
    }
}

#[test]
fn tokens_are_elements() {
    for (text, steps) in [
        (
            "root ::= <tool> \"a\" <[257]>",
            [(TOOL, 1), (97, 1), (TOOL, 1)],
        ),
        (
            "root ::= \"a\" !<tool> \"b\"",
            [(97, 1), (98, 256), (98, 1)],
        ),
        (
            "root ::= x | \"y\"\nx ::= \"(\" x \")\" | <tool>",
            [(40, 3), (TOOL, 2), (41, 1)],
        ),
    ] {
        let mut matcher = matcher(&Grammar::Gbnf(text.to_owned()));
        for (token, allowed) in steps {
            let mask = matcher.mask().unwrap();
            assert_eq!(
                mask.count(),
                allowed,
                "{text}: {:?}",
                mask.iter().collect::<Vec<_>>()
            );
            matcher.accept(token).unwrap();
        }
        assert!(matcher.must_end(), "{text}");
        assert_eq!(matcher.mask().unwrap().iter().collect::<Vec<_>>(), [END]);
    }
}

#[test]
fn left_recursion_and_mistakes_are_told_with_their_place() {
    for (text, line) in [
        ("root ::= root \"a\" | \"a\"", 1),
        (
            "root ::= \"x\" a\na ::= b? c\nb ::= \"y\"\nc ::= a \"z\" | \"q\"",
            2,
        ),
        ("root ::= (\"\" | \"a\")* root", 1),
        ("root ::= \"a\"\n\nb ::= ", 0),
        ("root ::= \"a\"\n\nb ::= c", 3),
        ("root ::= \"a\" | \"b\" c\nc ::= \"x\" c | \"y\" c", 2),
        ("root ::=\n  \"a\"\n  \"b\"", 3),
    ] {
        match bytes().matcher(&Grammar::Gbnf(text.to_owned())) {
            Ok(_) if line == 0 => {}
            Err(Error::Gbnf {
                line: found,
                reason,
                ..
            }) => assert_eq!(found, line, "{text}: {reason}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
