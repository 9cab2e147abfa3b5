//! A parsed template.

use std::sync::Arc;

use super::functions::Function;
use super::value::Text;

pub(super) type Name = Arc<str>;

/// What stands between two actions, or an action.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(Text),
    /// Prints the value of the pipeline, unless it declares variables.
    Action(Pipe),
    Choice(Choice),
    Range {
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// `{{ template "name" pipeline }}`
    Call {
        line: usize,
        name: Name,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if` or `with`, and all of its `else if` or `else with`.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// `with`: the dot of a branch is the value of its pipeline.
    pub(super) sets_dot: bool,
    pub(super) branches: Vec<(Pipe, Vec<Node>)>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) line: usize,
    /// The variables that are declared or assigned; two of them only in a `range`.
    pub(super) variables: Vec<Name>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A term and its arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) head: Term,
    pub(super) arguments: Vec<Term>,
}

/// One operand.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    /// `.A.B`
    Field(Vec<Name>),
    /// `$x.A.B`; the name is written with its `$`.
    Variable(Name, Vec<Name>),
    Function(Function),
    /// `(pipeline)`
    Pipe(Box<Pipe>),
    /// `(pipeline).A.B`
    Chain(Box<Term>, Vec<Name>),
}

impl Term {
    /// The names of the fields that this operand reads, not those inside parentheses.
    pub(super) fn fields(&self) -> &[Name] {
        match self {
            Self::Field(fields) | Self::Variable(_, fields) | Self::Chain(_, fields) => fields,
            _ => &[],
        }
    }

    /// The pipeline in parentheses.
    pub(super) fn pipe(&self) -> Option<&Pipe> {
        match self {
            Self::Pipe(pipe) => Some(pipe),
            Self::Chain(term, _) => term.pipe(),
            _ => None,
        }
    }
}

impl Pipe {
    /// Whether any operand, at any depth, satisfies `wanted`.
    pub(super) fn any(&self, wanted: &dyn Fn(&Term) -> bool) -> bool {
        let holds = |term: &Term| wanted(term) || term.pipe().is_some_and(|pipe| pipe.any(wanted));
        self.commands
            .iter()
            .any(|command| holds(&command.head) || command.arguments.iter().any(holds))
    }

    /// Whether it reads a field of this name.
    pub(super) fn reads(&self, field: &str) -> bool {
        self.any(&|term| term.fields().iter().any(|name| &**name == field))
    }
}
