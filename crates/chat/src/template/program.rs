//! From source to instructions whose every costly step is charged.
//!
//! The engine has no hook in its operators: `s ~ s` in a loop would double a string until memory
//! ends. So the compiled instructions are rewritten: each operator, container and slice becomes a
//! call of its twin in `ops`, which has Python's meaning and a budget. Jump targets move along.

use std::collections::BTreeMap;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, WhitespaceConfig, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::ops;
use super::values::freeze_unmetered;

/// Tells the engine not to remember which filter a call found.
const UNCACHED: u8 = !0;

/// A compiled template.
pub(crate) struct Program<'s> {
    pub(crate) main: Instructions<'s>,
    pub(crate) blocks: BTreeMap<&'s str, Instructions<'s>>,
}

/// Compiles `source`, which [`super::guard::prepare`] has passed.
pub(crate) fn compile(source: &str) -> Result<Program<'_>, Error> {
    // As transformers sets it; a single newline at the end of the source is dropped.
    let spaces = WhitespaceConfig {
        keep_trailing_newline: false,
        lstrip_blocks: true,
        trim_blocks: true,
    };
    let tree = parse(source, "chat", SyntaxConfig, spaces)?;
    let mut generator = CodeGenerator::new("chat", source);
    generator.compile_stmt(&tree);
    let (main, blocks) = generator.finish();
    let blocks = blocks
        .into_iter()
        .map(|(name, code)| Ok((name, rewrite(&code)?)));
    Ok(Program {
        main: rewrite(&main)?,
        blocks: blocks.collect::<Result<_, Error>>()?,
    })
}

fn call(name: &'static str, arguments: u16) -> Instruction<'static> {
    Instruction::ApplyFilter(name, Some(arguments), UNCACHED)
}

fn rewrite<'s>(code: &Instructions<'s>) -> Result<Instructions<'s>, Error> {
    let mut groups = Vec::with_capacity(code.len());
    let mut starts = Vec::with_capacity(code.len() + 1);
    let mut next = 0;
    for index in 0..code.len() as u32 {
        let Some(instruction) = code.get(index) else {
            break;
        };
        let group = replacement(instruction)?;
        starts.push(next);
        next += group.len() as u32;
        groups.push(group);
    }
    starts.push(next);
    let mut out = Instructions::new(code.name(), code.source());
    for (index, group) in groups.into_iter().enumerate() {
        let span = code.get_span(index as u32);
        let line = code
            .get_line(index as u32)
            .and_then(|line| u16::try_from(line).ok());
        for mut instruction in group {
            move_jump(&mut instruction, &starts);
            match (span, line) {
                (Some(span), _) => out.add_with_span(instruction, span),
                (None, Some(line)) => out.add_with_line(instruction, line),
                (None, None) => out.add(instruction),
            };
        }
    }
    Ok(out)
}

fn move_jump(instruction: &mut Instruction<'_>, starts: &[u32]) {
    use Instruction as I;
    if let I::Iterate(target)
    | I::Jump(target)
    | I::JumpIfFalse(target)
    | I::JumpIfFalseOrPop(target)
    | I::JumpIfTrueOrPop(target)
    | I::BuildMacro(_, target, _) = instruction
    {
        *target = starts.get(*target as usize).copied().unwrap_or(u32::MAX);
    }
}

fn replacement<'s>(instruction: &Instruction<'s>) -> Result<Vec<Instruction<'s>>, Error> {
    use Instruction as I;
    let same = instruction.clone();
    Ok(match instruction {
        I::Add => vec![call("op+", 2)],
        I::Sub => vec![call("op-", 2)],
        I::Mul => vec![call("op*", 2)],
        I::Div => vec![call("op/", 2)],
        I::IntDiv => vec![call("op//", 2)],
        I::Rem => vec![call("op%", 2)],
        I::Pow => vec![call("op**", 2)],
        I::StringConcat => vec![call("op~", 2)],
        I::Eq => vec![call("op==", 2)],
        I::Ne => vec![call("op!=", 2)],
        I::Lt => vec![call("op<", 2)],
        I::Lte => vec![call("op<=", 2)],
        I::Gt => vec![call("op>", 2)],
        I::Gte => vec![call("op>=", 2)],
        I::In => vec![I::Swap, call("opin", 2)],
        I::GetAttr(name) if ops::DICT_METHODS.contains(name) => {
            vec![I::LoadConst(Value::from(*name)), call("op.", 2)]
        }
        I::GetItem => vec![call("op[]", 2)],
        I::Slice => vec![call("op[:]", 4)],
        I::BuildList(_) => vec![same, call("op:list", 1)],
        I::BuildMap(_) => vec![same, call("op:map", 1)],
        // Constant keyword arguments keep the type that calls look for.
        I::LoadConst(value) if value.is_kwargs() => vec![same],
        I::LoadConst(value) if value.kind() == ValueKind::Seq => {
            vec![I::LoadConst(freeze_unmetered(value)?), call("op:thaw", 1)]
        }
        I::LoadConst(value) if value.as_object().is_some() => {
            vec![I::LoadConst(freeze_unmetered(value)?)]
        }
        // The namespace is on top of the value.
        I::SetAttr(_) => vec![I::Swap, call("op:store", 1), I::Swap, same],
        I::CompareAndPreserve(_) | I::PerformTest(..) => vec![call("op:weigh", 1), same],
        // Raw text is charged as any other output is.
        I::EmitRaw(text) => vec![I::LoadConst(Value::from(*text)), I::Emit],
        I::UnpackLists(_) | I::MergeKwargs(_) => {
            return Err(Error::new(
                ErrorKind::SyntaxError,
                "arguments given as *list or **mapping are not supported in chat templates",
            ));
        }
        _ => vec![same],
    })
}
