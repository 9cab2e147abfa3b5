//! What a template tells about its model, read from its tree.

use super::ast::{Name, Node, Pipe, Term};
use super::parser::Program;

/// The texts around a model's thoughts, and what stands before a call of a tool where nothing does.
pub(super) const ANY_CALL: &str = "{";

impl Node {
    /// The pipelines of the node itself, not those of the nodes inside it.
    fn pipes(&self) -> Vec<&Pipe> {
        match self {
            Self::Action(pipe) | Self::Range { pipe, .. } => vec![pipe],
            Self::Choice(choice) => choice.branches.iter().map(|(pipe, _)| pipe).collect(),
            Self::Call { pipe, .. } => pipe.iter().collect(),
            Self::Text(_) | Self::Break | Self::Continue => vec![],
        }
    }

    /// The lists of nodes inside it.
    fn lists(&self) -> Vec<&[Node]> {
        match self {
            Self::Choice(choice) => choice
                .branches
                .iter()
                .map(|(_, body)| &**body)
                .chain([&*choice.otherwise])
                .collect(),
            Self::Range {
                body, otherwise, ..
            } => vec![body, otherwise],
            _ => vec![],
        }
    }
}

/// Whether any node reads a field of this name, in whatever case it is written.
pub(super) fn mentions(program: &Program, field: &str) -> bool {
    let named = |name: &Name| name.eq_ignore_ascii_case(field);
    let wanted = |term: &Term| term.fields().iter().any(named);
    let all = program.defined.values().chain([&program.root]);
    all.into_iter().any(|nodes| any_pipe(nodes, &wanted))
}

fn any_pipe(nodes: &[Node], wanted: &dyn Fn(&Term) -> bool) -> bool {
    nodes.iter().any(|node| {
        node.pipes().iter().any(|pipe| pipe.any(wanted))
            || node.lists().iter().any(|list| any_pipe(list, wanted))
    })
}

/// The nodes up to the one that prints `.Response`, which ends an unfinished turn. Branches that
/// do not print it stay whole. `true` where it was found.
pub(super) fn up_to_response(nodes: &[Node]) -> (Vec<Node>, bool) {
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut node = node.clone();
        let found = match &mut node {
            Node::Action(pipe) => pipe.reads("Response"),
            Node::Choice(choice) => {
                let bodies = choice.branches.iter_mut().map(|(_, body)| body);
                bodies
                    .chain([&mut choice.otherwise])
                    .fold(false, |found, body| cut(body) | found)
            }
            Node::Range {
                body, otherwise, ..
            } => cut(body) | cut(otherwise),
            _ => false,
        };
        kept.push(node);
        if found {
            return (kept, true);
        }
    }
    (kept, false)
}

fn cut(nodes: &mut Vec<Node>) -> bool {
    let (kept, found) = up_to_response(nodes);
    *nodes = kept;
    found
}

/// The texts right before and after the `.Thinking` that is printed in a range over `.Messages`.
pub(super) fn thinking_tags(nodes: &[Node], in_messages: bool) -> Option<(String, String)> {
    for (at, node) in nodes.iter().enumerate() {
        if let Node::Action(pipe) = node
            && in_messages
            && pipe.variables.is_empty()
            && pipe.reads("Thinking")
        {
            let open = at.checked_sub(1).and_then(|before| text(nodes.get(before)));
            let close = text(nodes.get(at + 1));
            if let (Some(open), Some(close)) = (open, close) {
                return Some((open, close));
            }
        }
        let inside = match node {
            Node::Range { pipe, .. } => pipe.reads("Messages"),
            _ => in_messages,
        };
        let found = node
            .lists()
            .into_iter()
            .find_map(|list| thinking_tags(list, inside));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The trimmed text of a text node; `None` where nothing is left.
fn text(node: Option<&Node>) -> Option<String> {
    let Some(Node::Text(text)) = node else {
        return None;
    };
    let text = String::from_utf8_lossy(text);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The text that stands before a call: the first of the `.ToolCalls` branch, up to a `{`.
pub(super) fn tool_tag(nodes: &[Node]) -> String {
    tool_branch(nodes)
        .and_then(head)
        .map(|text| text.split('{').next().unwrap_or_default().trim().to_owned())
        .filter(|tag| !tag.is_empty())
        .unwrap_or_else(|| ANY_CALL.to_owned())
}

/// The first list that is executed for `.ToolCalls`.
fn tool_branch(nodes: &[Node]) -> Option<&[Node]> {
    nodes.iter().find_map(|node| {
        let own = match node {
            Node::Choice(choice) => choice
                .branches
                .iter()
                .find(|(pipe, _)| pipe.reads("ToolCalls"))
                .map(|(_, body)| &**body),
            Node::Range { pipe, body, .. } if pipe.reads("ToolCalls") => Some(&**body),
            _ => None,
        };
        own.or_else(|| node.lists().into_iter().find_map(tool_branch))
    })
}

/// The first text that is not blank, if it stands before everything that prints a value.
fn head(nodes: &[Node]) -> Option<String> {
    for node in nodes {
        match node {
            Node::Text(text) if text.trim_ascii().is_empty() => {}
            Node::Text(text) => return Some(String::from_utf8_lossy(text).into_owned()),
            Node::Action(pipe) if !pipe.variables.is_empty() => {}
            Node::Choice(_) | Node::Range { .. } => {
                return node.lists().into_iter().find_map(head);
            }
            _ => return None,
        }
    }
    None
}
