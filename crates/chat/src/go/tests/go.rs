//! Templates against what Go itself made of them (`tests/go.json`: a request, and for each template
//! its result, or null where it failed).

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Cases {
    messages: Vec<Message>,
    tools: Vec<Json>,
    think: String,
    cases: Vec<(String, Option<String>)>,
}

#[test]
fn results_are_those_of_go() {
    let cases: Cases = serde_json::from_str(include_str!("../../../tests/go.json")).unwrap();
    let request = GoRequest {
        messages: &cases.messages,
        tools: &cases.tools,
        think: Some(Think::Level(cases.think)),
        ..GoRequest::default()
    };
    assert!(cases.cases.len() > 500, "only {}", cases.cases.len());
    let mut wrong = Vec::new();
    for (source, expected) in &cases.cases {
        let found = render(source, &request);
        if found.as_ref().ok() != expected.as_ref() {
            wrong.push(format!(
                "{source}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
