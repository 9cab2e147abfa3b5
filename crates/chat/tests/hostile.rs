//! Templates that try to hang, exhaust memory or overflow the stack end in an error, soon.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, not only tests, unwrap"
)]

use std::time::{Duration, Instant};

use hearth_chat::{Error, Message, Request, SpecialTokens, Template};
use proptest::prelude::*;

/// Far more than any of these needs; the tests share the machine with others.
const LONG: Duration = Duration::from_secs(60);

fn render(source: &str) -> Result<String, Error> {
    let request = Request {
        messages: vec![
            Message::new("user", "hello"),
            Message::new("assistant", "hi"),
        ],
        add_generation_prompt: true,
        ..Request::default()
    };
    Template::new(source, SpecialTokens::default())?.render(&request)
}

#[test]
fn bombs_are_defused() {
    let nested_loops = "{% for a in range(99999) %}".repeat(4) + "x" + &"{% endfor %}".repeat(4);
    let many_values = "{{ '12345678' }}".repeat(60_000);
    let loops = |body: &str| {
        format!(
            "{{% set ns = namespace(a='aaaaaaaa', l=[1]) %}}{{% for i in range(100000) %}}{body}{{% endfor %}}{{{{ ns.l }}}}"
        )
    };
    let cases = [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        "{% block a %}{{ self.a() }}{% endblock %}".to_owned(),
        "{% include 'chat' %}".to_owned(),
        "{% extends 'chat' %}".to_owned(),
        nested_loops,
        "{{ 'a' * 10000000000 }}".to_owned(),
        "{% set n = 10000000000 %}{{ 'a' * n }}".to_owned(),
        "{% set n = 10000000000 %}{{ [1] * n }}".to_owned(),
        "{% set n = 1000000 %}{{ [[1] * n] * n }}".to_owned(),
        "{% for x in range(1000000000000) %}{% endfor %}".to_owned(),
        loops("{% set ns.a = ns.a + ns.a %}"),
        loops("{% set ns.a = ns.a ~ ns.a %}"),
        loops("{% set ns.a = [ns.a, ns.a] | join %}"),
        loops("{% set ns.a = ns.a.join([ns.a, ns.a]) %}"),
        loops("{% set ns.a = ns.a | replace('a', 'aa') %}"),
        loops("{% set ns.a = ns.a.replace('a', 'aa') %}"),
        loops("{% set ns.a = '%s%s' % [ns.a, ns.a] %}"),
        loops("{% set ns.a = '{0}{0}'.format(ns.a) %}"),
        loops("{% set ns.a %}{{ ns.a }}{{ ns.a }}{% endset %}"),
        loops("{% set ns.a = ns.a | escape + '&&&&&&&&' | escape %}{% set ns.a = ns.a ~ ns.a %}"),
        loops("{% set ns.a = (ns.a ~ '\n') | indent(1000) %}"),
        loops("{% set ns.l = [ns.l] %}"),
        loops("{% set ns.l = [ns.l, ns.l] %}"),
        loops("{% set ns.l = {'a': ns.l, 'b': ns.l} %}"),
        loops("{% set ns.l = ns.l + ns.l %}"),
        loops("{% set ns.l = dict(a=ns.l) %}"),
        loops("{% set ns.l = namespace(a=ns.l) %}"),
        loops("{% set ns.l = [ns.l] | list | reverse | list %}"),
        loops("{% set _ = ns.l.append(ns.l) %}"),
        loops("{% set _ = ns.l.extend(ns.l) %}"),
        loops("{{ messages | tojson(indent=64) }}{{ messages | tojson(indent=64) | tojson }}"),
        "{{ messages | tojson(indent=1000000000) }}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ '{:1000000000}'.format(1) }}".to_owned(),
        "{{ 'a'.center(1000000000) }}".to_owned(),
        "{{ [1] | batch(100000000000, 1) | list }}".to_owned(),
        "{{ [1] | slice(100000000000) | list }}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{% for i in range(n) %}{{ 'b' in s }}{% endfor %}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{% for i in range(n) %}{% if s == s + '' %}{% endif %}{% endfor %}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{% for i in range(n) %}{{ s[-1] }}{% endfor %}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{% for i in range(n) %}{{ s | length }}{% endfor %}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{% for i in range(n) %}{{ s is upper }}{% endfor %}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{{ [s] * n | map('upper') | list }}".to_owned(),
        "{% set n = 99999 %}{% set s = 'a' * n * 600 %}{{ ([s] * n) | select('equalto', s + '') | list }}".to_owned(),
        "{% set n = 9999 %}{% set s = 'a ' * n * 3000 %}{% for i in range(n) %}{% set t = s.split() %}{% endfor %}".to_owned(),
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{{{{ {} }}}}", "not ".repeat(100_000)),
        format!("{{{{ {} }}}}", "[".repeat(100_000)),
        format!("{}{}", "{% if 1 %}".repeat(20_000), "{% endif %}".repeat(20_000)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(50_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(100_000)),
        format!("{{{{ {} 1 }}}}", "-".repeat(100_000)),
        format!("{{% for i in range(99999) %}}{}{{% endfor %}}", "x".repeat(100_000)),
        format!("{{% for i in range(99999) %}}{many_values}{{% endfor %}}"),
    ];
    for source in cases {
        let start = Instant::now();
        let result = render(&source);
        let head: String = source.chars().take(200).collect();
        assert!(start.elapsed() < LONG, "{head} took {:?}", start.elapsed());
        assert!(
            result.is_err(),
            "{head} gave {:.200}",
            format!("{result:?}")
        );
        assert!(
            !matches!(result, Err(Error::Engine { .. })),
            "{head} gave {result:?}"
        );
    }
}

#[test]
fn values_stay_within_bounds_without_an_error() {
    let cases = [
        (
            "{% set ns = namespace() %}{% set ns.self = 1 %}{{ ns.self }}",
            "1",
        ),
        ("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "[[]]"),
        (
            "{% set l = [1, 2] %}{% set m = l %}{% set _ = m.append(3) %}{{ l }}{{ l.pop(0) }}{{ l }}",
            "[1, 2, 3]1[2, 3]",
        ),
        (
            "{{ 'a' * -1 }}{{ range(5, 0, -2) | list }}{{ [1,2,3][::-1] }}{{ 'abc'[-2:] }}",
            "[5, 3, 1][3, 2, 1]bc",
        ),
        (
            "{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1e16 }} {{ 1 == true }}",
            "-4 2 3.5 1024 1e+16 True",
        ),
        (
            "{{ 'a b  c'.split() }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' x '.strip() }}{{ 'abc'.removeprefix('a') }}",
            "['a', 'b', 'c']['a,b', 'c']xbc",
        ),
        (
            "{{ {'a': none, 'b': [true, 1.0]} }}{{ none }}{{ true }}{{ undefined_name }}",
            "{'a': None, 'b': [True, 1.0]}NoneTrue",
        ),
        (
            "{{ {'b': 'é<', 'a': 1} | tojson(ensure_ascii=True, sort_keys=True, separators=(',', ':')) }}",
            "{\"a\":1,\"b\":\"\\u00e9<\"}",
        ),
        (
            "{{ undefined_name | length }}{{ 'ab' | center(1) if false else '' }}{{ '%05.1f|%s' % (2.25, none) }}",
            "0002.2|None",
        ),
        (
            "{% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ 'x' in {'x': 1} }}",
            "x1True",
        ),
        (
            "{{ '%5s|%-5s|%05d|%+.2f|%x|%c|%r|%%' % ['ü', 'b', -42, 2.345, 255, 'z', 'q'] }}",
            "    ü|b    |-0042|+2.35|ff|z|'q'|%",
        ),
        (
            "{{ '%s and %s' | format('a', [1]) }}{{ '%(k)s' % {'k': 1} }}{{ '%d %g %e' % [3.9, 1e-5, 12345.678] }}",
            "a and [1]13 1e-05 1.234568e+04",
        ),
        (
            "{{ '{} {0}'.format(1) if false else '{1}{0}{x[0]!r:>5}'.format('a', 'b', x=['c']) }}",
            "ba  'c'",
        ),
        (
            "{{ '{:<5}|{:>5}|{:^5}|{:05d}|{:,}|{:.1f}|{:#x}|{{}}'.format('a', 1, 'b', -3, 1234567, 0.25, 255) }}",
            "a    |    1|  b  |-0003|1,234,567|0.2|0xff|{}",
        ),
        (
            "{{ '{}{}'.format(1.0, true) }}{{ '{:g} {:.3}'.format(100000.0, 'abcdef') }}{{ '%05s' % 'a' }}",
            "1.0True100000 abc    a",
        ),
        ("{% generation %}a{% endgeneration %}", "a"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn errors_say_what_happened() {
    let cases = [
        (
            "{{ raise_exception('no ' + 'way') }}",
            "the chat template refuses these messages: no way",
        ),
        (
            "a\nb{{ 'a' + 1 }}",
            "chat template, line 2: invalid operation: the operator + does not take string and number",
        ),
        (
            "{% if %}",
            "chat template, line 1: syntax error: unexpected end of block",
        ),
        (
            "{{ x | nonsense }}",
            "chat template, line 1: unknown filter: filter nonsense is unknown",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(
            render(source).unwrap_err().to_string(),
            expected,
            "{source}"
        );
    }
}

#[test]
fn templates_tell_how_a_turn_ends() {
    let cases = [
        ("chatml", Some("<|im_end|>")),
        ("llama3", Some("<|eot_id|>")),
        ("gemma", Some("<end_of_turn>")),
        ("mistral", Some("</s>")),
        ("plain", None),
    ];
    for (name, expected) in cases {
        let tokens = SpecialTokens {
            eos: Some("</s>".into()),
            ..SpecialTokens::default()
        };
        let template = Template::by_name(name, tokens).unwrap();
        assert_eq!(template.turn_end().as_deref(), expected, "{name}");
    }
}

fn templates() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A template with pieces cut out, doubled and replaced never panics.
    #[test]
    fn mutated_templates_never_panic(
        which in 0usize..4,
        edits in prop::collection::vec((0usize..4000, 0usize..40, "[-{}%#|~+*.\\[\\]()'\" a-z0-9]{0,12}"), 1..6),
    ) {
        let mut chars: Vec<char> = templates()[which].chars().collect();
        for (at, length, text) in edits {
            let at = at % (chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, text.chars());
        }
        let source: String = chars.into_iter().collect();
        let result = render(&source);
        prop_assert!(!matches!(result, Err(Error::Engine { .. })), "{:?}", result);
    }
}
