//! Walking through a template: nodes, pipelines, operands.
//!
//! Everything here is bounded: each step is paid for ([`Budget`]), and blocks, parentheses and
//! calls of templates are nested at most [`MAX_DEPTH`] deep, so the stack is bounded as well.

use super::ast::{Choice, Command, Name, Node, Pipe, Term};
use super::budget::{Budget, MAX_DEPTH, STEP, Sink, limit};
use super::functions::{Context, Failure, Function};
use super::parser::Program;
use super::print::{Spec, write_value};
use super::value::Value;
use crate::error::{Error, Result};
use crate::template::clock::Clock;

/// Executes `nodes` of `program` with `dot` as the data and writes to `out`.
pub(super) fn execute(
    program: &Program,
    nodes: &[Node],
    dot: &Value,
    clock: Clock,
    out: &mut Sink,
) -> Result<()> {
    let mut evaluator = Evaluator {
        program,
        context: Context {
            budget: out.budget(),
            clock,
        },
        out,
        variables: vec![("$".into(), dot.clone())],
        base: 0,
        depth: 0,
        line: 0,
    };
    evaluator.walk(dot, nodes).map(drop)
}

/// Where execution goes on.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Evaluator<'a, 'b> {
    program: &'a Program,
    context: Context<'b>,
    out: &'a mut Sink<'b>,
    /// The newest last; those before `base` belong to the callers of this template.
    variables: Vec<(Name, Value)>,
    base: usize,
    depth: usize,
    /// The line of what is executed.
    line: usize,
}

impl<'a> Evaluator<'a, '_> {
    fn budget(&self) -> &Budget {
        self.context.budget
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Render {
            line: self.line,
            message: message.into(),
        }
    }

    /// Runs `work` one level further down.
    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(limit(format!(
                "its blocks, parentheses and templates are nested more than {MAX_DEPTH} deep"
            )));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn walk(&mut self, dot: &Value, nodes: &'a [Node]) -> Result<Flow> {
        self.deeper(|this| {
            for node in nodes {
                let flow = this.node(dot, node)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Result<Flow> {
        self.budget().spend(STEP)?;
        match node {
            Node::Text(text) => self.out.push(&**text)?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(&value)?;
                }
            }
            Node::Choice(choice) => return self.choice(dot, choice),
            Node::Range {
                pipe,
                body,
                otherwise,
            } => return self.range(dot, pipe, body, otherwise),
            Node::Call { line, name, pipe } => self.call(dot, *line, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Missing => self.out.push("<no value>"),
            value => write_value(self.out, &Spec::default(), 'v', value),
        }
    }

    fn choice(&mut self, dot: &Value, choice: &'a Choice) -> Result<Flow> {
        let mark = self.variables.len();
        let mut taken = None;
        for (pipe, body) in &choice.branches {
            let value = self.pipe(dot, pipe)?;
            if value.is_true() {
                taken = Some((value, body));
                break;
            }
        }
        let flow = match taken {
            Some((value, body)) if choice.sets_dot => self.walk(&value, body),
            Some((_, body)) => self.walk(dot, body),
            None => self.walk(dot, &choice.otherwise),
        }?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(
        &mut self,
        dot: &Value,
        pipe: &'a Pipe,
        body: &'a [Node],
        otherwise: &'a [Node],
    ) -> Result<Flow> {
        let mark = self.variables.len();
        let value = self.pipe(dot, pipe)?;
        let flow = if self.range_over(&value, pipe, body)? {
            Flow::Next
        } else {
            self.walk(dot, otherwise)?
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// Executes the body for each element; `false` where there is none.
    fn range_over(&mut self, value: &Value, pipe: &'a Pipe, body: &'a [Node]) -> Result<bool> {
        match value {
            Value::Missing | Value::Nil => return Ok(false),
            Value::List(list) => {
                for (index, item) in (0_i64..).zip(list.items()) {
                    if self.turn(pipe, Value::Int(index), item, body)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in &map.entries {
                    if self.turn(pipe, Value::Text(key.clone()), item, body)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(_) if pipe.variables.len() > 1 => {
                return Err(self.error("range over a number has one variable, not two"));
            }
            Value::Int(count) => {
                for index in 0..*count {
                    let item = Value::Int(index);
                    if self.turn(pipe, Value::Missing, &item, body)? == Flow::Break {
                        break;
                    }
                }
            }
            other => {
                let found = other.type_name();
                return Err(self.error(format!("range cannot go through a value of type {found}")));
            }
        }
        Ok(match value {
            Value::Int(count) => *count > 0,
            value => value.is_true(),
        })
    }

    /// One turn of a range.
    fn turn(
        &mut self,
        pipe: &'a Pipe,
        index: Value,
        item: &Value,
        body: &'a [Node],
    ) -> Result<Flow> {
        self.budget().spend(STEP)?;
        let values = match pipe.variables.len() {
            0 => vec![],
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        let mark = self.variables.len();
        for (at, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.assigns {
                self.assign(name, value)?;
            } else {
                // They were declared by the pipeline, right below what the body declares.
                let slot = mark - pipe.variables.len() + at;
                self.variables[slot].1 = value;
            }
        }
        let flow = self.walk(item, body)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn call(
        &mut self,
        dot: &Value,
        line: usize,
        name: &Name,
        pipe: Option<&'a Pipe>,
    ) -> Result<()> {
        self.line = line;
        let program = self.program;
        let Some(body) = program.defined.get(name) else {
            return Err(self.error(format!("there is no template {name:?}")));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let base = std::mem::replace(&mut self.base, self.variables.len());
        self.variables.push(("$".into(), dot.clone()));
        self.walk(&dot, body)?;
        self.variables.truncate(self.base);
        self.base = base;
        Ok(())
    }

    /// The value of a pipeline, and the variables that it declares or assigns.
    fn pipe(&mut self, dot: &Value, pipe: &'a Pipe) -> Result<Value> {
        self.line = pipe.line;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.settle());
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.budget().spend(STEP)?;
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &Name, value: Value) -> Result<()> {
        let at = self.find(name)?;
        self.variables[at].1 = value;
        Ok(())
    }

    /// The place of the newest variable of this name. The parser saw a declaration, but it may
    /// stand in a branch that was not taken.
    fn find(&self, name: &Name) -> Result<usize> {
        let own = &self.variables[self.base..];
        self.budget().spend_length(own.len())?;
        own.iter()
            .rposition(|(known, _)| known == name)
            .map(|at| self.base + at)
            .ok_or_else(|| self.error(format!("the variable {name} is not declared here")))
    }

    /// A command; `last` is what the one before it in the pipeline gave.
    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Result<Value> {
        self.line = command.line;
        self.budget().spend(STEP)?;
        if let Term::Function(function) = command.head {
            return self.function(dot, function, &command.arguments, last);
        }
        if !command.arguments.is_empty() || last.is_some() {
            return Err(self.error("arguments are given to a value that is not a function"));
        }
        match command.head {
            Term::Nil => Err(self.error("nil alone is not a value to print or test")),
            _ => self.term(dot, &command.head),
        }
    }

    fn term(&mut self, dot: &Value, term: &'a Term) -> Result<Value> {
        match term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Missing),
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Int(value) => Ok(Value::Int(*value)),
            Term::Float(value) => Ok(Value::Float(*value)),
            Term::Text(text) => Ok(Value::Text(text.clone())),
            Term::Field(fields) => self.fields(dot, fields),
            Term::Variable(name, fields) => {
                let at = self.find(name)?;
                self.fields(&self.variables[at].1, fields)
            }
            Term::Function(function) => self.function(dot, *function, &[], None),
            Term::Pipe(pipe) => self.deeper(|this| this.pipe(dot, pipe)),
            Term::Chain(term, fields) => {
                let value = self.term(dot, term)?;
                self.fields(&value, fields)
            }
        }
    }

    fn fields(&self, value: &Value, fields: &[Name]) -> Result<Value> {
        let mut value = value;
        for name in fields {
            self.budget().spend(STEP)?;
            value = match value {
                Value::Missing => &Value::Missing,
                Value::Nil => return Err(self.error(format!("field .{name} of nil"))),
                Value::Map(map) => match map.entries.get(name.as_bytes()) {
                    Some(value) => value,
                    None => &Value::Nil,
                },
                Value::Record(record) => record
                    .get(name)
                    .ok_or_else(|| self.error(format!("a {} has no field .{name}", record.kind)))?,
                other => {
                    let found = other.type_name();
                    return Err(self.error(format!("a value of type {found} has no field .{name}")));
                }
            };
        }
        Ok(value.clone())
    }

    fn function(
        &mut self,
        dot: &Value,
        function: Function,
        arguments: &'a [Term],
        last: Option<Value>,
    ) -> Result<Value> {
        let line = self.line;
        function
            .check_count(arguments.len() + usize::from(last.is_some()))
            .map_err(|message| self.error(format!("{}: {message}", function.name())))?;
        // They stop early and give an operand back.
        let stops = match function {
            Function::And => Some(false),
            Function::Or => Some(true),
            _ => None,
        };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for term in arguments {
            self.budget().spend(STEP)?;
            let value = self.term(dot, term)?;
            if stops == Some(value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        if stops.is_some() {
            return Ok(values.pop().unwrap_or(Value::Missing));
        }
        self.line = line;
        function
            .call(&self.context, &values)
            .map_err(|failure| match failure {
                Failure::Error(error) => error,
                Failure::Message(message) => self.error(format!("{}: {message}", function.name())),
            })
    }
}
