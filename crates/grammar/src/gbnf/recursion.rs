//! Which rules use themselves.

use super::{
    Mistake,
    expression::{Expression, Rules},
};

/// How the rules hang together.
#[derive(Debug)]
pub(super) struct Order {
    /// Every rule, those that it uses before it (but for recursion).
    pub(super) rules: Vec<usize>,
    /// By rule: whether it can be empty.
    pub(super) nullable: Vec<bool>,
    /// By rule: whether it is a regular language of characters: no recursion and no tokens below it.
    pub(super) regular: Vec<bool>,
}

/// Orders the rules and refuses left recursion, where a rule would begin with itself for ever.
pub(super) fn check(rules: &Rules) -> Result<Order, Mistake> {
    let count = rules.rules.len();
    let uses: Vec<Vec<usize>> = rules.rules.iter().map(|rule| used(&rule.body)).collect();
    let components = components(&uses);
    let nullable = closed(rules, &components, Expression::nullable);
    let begins: Vec<Vec<usize>> = rules
        .rules
        .iter()
        .map(|rule| {
            let mut found = Vec::new();
            beginnings(&rule.body, &nullable, &mut found);
            found
        })
        .collect();
    for component in self::components(&begins) {
        if is_loop(&component, &begins) {
            let first = component
                .iter()
                .min_by_key(|&&rule| rules.rules[rule].offset);
            let rule = &rules.rules[*first.unwrap_or(&rules.root)];
            let reason = format!(
                "the rule `{}` begins with itself (left recursion); write it as a repetition",
                rule.name
            );
            return Err(Mistake::new(rule.offset, reason));
        }
    }
    check_ends(rules, &uses, &closed(rules, &components, Expression::ends))?;
    let mut regular = vec![false; count];
    for component in &components {
        for &rule in component {
            regular[rule] =
                !is_loop(component, &uses) && is_regular(&rules.rules[rule].body, &regular);
        }
    }
    Ok(Order {
        rules: components.concat(),
        nullable,
        regular,
    })
}

/// Whether only characters and regular rules stand in it.
pub(super) fn is_regular(body: &Expression, regular: &[bool]) -> bool {
    match body {
        Expression::Rule(rule) => regular[*rule],
        Expression::Token { .. } => false,
        _ => body
            .children()
            .iter()
            .all(|child| is_regular(child, regular)),
    }
}

fn is_loop(component: &[usize], edges: &[Vec<usize>]) -> bool {
    component.len() > 1 || component.iter().any(|&rule| edges[rule].contains(&rule))
}

/// Of which rules something holds that follows from that it holds of others.
fn closed(
    rules: &Rules,
    components: &[Vec<usize>],
    holds: fn(&Expression, &[bool]) -> bool,
) -> Vec<bool> {
    let mut known = vec![false; rules.rules.len()];
    for component in components {
        loop {
            let mut changed = false;
            for &rule in component {
                if !known[rule] && holds(&rules.rules[rule].body, &known) {
                    known[rule] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }
    known
}

/// A rule that the root needs and that no text fits would lead the model to where it can neither go on nor end.
fn check_ends(rules: &Rules, uses: &[Vec<usize>], ends: &[bool]) -> Result<(), Mistake> {
    let mut reached = vec![false; rules.rules.len()];
    let mut pending = vec![rules.root];
    while let Some(number) = pending.pop() {
        if std::mem::replace(&mut reached[number], true) {
            continue;
        }
        if !ends[number] {
            let rule = &rules.rules[number];
            let reason = format!(
                "the rule `{}` never ends: it always uses itself; add an alternative that does not",
                rule.name
            );
            return Err(Mistake::new(rule.offset, reason));
        }
        pending.extend(&uses[number]);
    }
    Ok(())
}

fn used(body: &Expression) -> Vec<usize> {
    let mut found = Vec::new();
    let mut pending = vec![body];
    while let Some(expression) = pending.pop() {
        if let Expression::Rule(rule) = expression {
            found.push(*rule);
        }
        pending.extend(expression.children());
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The rules that can be the first of an expression.
fn beginnings(body: &Expression, nullable: &[bool], found: &mut Vec<usize>) {
    match body {
        Expression::Rule(rule) => found.push(*rule),
        Expression::Sequence(items) => {
            for item in items {
                beginnings(item, nullable, found);
                if !item.nullable(nullable) {
                    break;
                }
            }
        }
        _ => {
            for child in body.children() {
                beginnings(child, nullable, found);
            }
        }
    }
}

/// The strongly connected components of a graph, those that are reached before those that reach them (Tarjan's
/// algorithm, without recursion).
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut seen = vec![UNSEEN; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut open = vec![false; edges.len()];
    let (mut stack, mut out, mut next) = (Vec::new(), Vec::new(), 0);
    for start in 0..edges.len() {
        let mut path = if seen[start] == UNSEEN {
            vec![(start, 0)]
        } else {
            Vec::new()
        };
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                seen[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                open[node] = true;
            } else {
                let done = edges[node][edge - 1];
                if open[done] {
                    low[node] = low[node].min(low[done]);
                }
            }
            if let Some(&child) = edges[node].get(edge) {
                path.push((node, edge + 1));
                if seen[child] == UNSEEN {
                    path.push((child, 0));
                } else if open[child] {
                    low[node] = low[node].min(seen[child]);
                }
                continue;
            }
            if low[node] == seen[node] {
                let from = stack.iter().rposition(|&other| other == node).unwrap_or(0);
                let component = stack.split_off(from);
                component.iter().for_each(|&member| open[member] = false);
                out.push(component);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_come_before_what_reaches_them() {
        for (edges, expected) in [
            (
                vec![vec![1], vec![2], vec![]],
                vec![vec![2], vec![1], vec![0]],
            ),
            (
                vec![vec![1], vec![0, 2], vec![2]],
                vec![vec![2], vec![0, 1]],
            ),
            (
                vec![vec![1, 2], vec![3], vec![3], vec![1]],
                vec![vec![1, 3], vec![2], vec![0]],
            ),
            (vec![vec![], vec![0]], vec![vec![0], vec![1]]),
        ] {
            let mut found = components(&edges);
            found
                .iter_mut()
                .for_each(|component| component.sort_unstable());
            assert_eq!(found, expected);
        }
        let chain: Vec<Vec<usize>> = (0..100_000).map(|n| vec![(n + 1) % 100_000]).collect();
        assert_eq!(components(&chain).len(), 1);
    }
}
