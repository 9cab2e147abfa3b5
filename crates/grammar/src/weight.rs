//! How large a regular expression is once its repetitions are written out.

/// Parts that a regular expression may have: more would take seconds to compile.
pub(crate) const MOST: u64 = 5_000;

/// Parts of a pattern with its counted repetitions written out, an upper bound; none where it ends in the middle of an
/// escape.
pub(crate) fn weight(pattern: &str) -> Option<u64> {
    let mut chars = pattern.chars().peekable();
    // Of each open group: the parts before its last item, and those of that item.
    let mut groups: Vec<(u64, u64)> = vec![(0, 0)];
    let mut in_class = false;
    while let Some(c) = chars.next() {
        let nested = groups.len() > 1;
        let (sum, last) = groups.last_mut()?;
        match c {
            '\\' => {
                chars.next()?;
                if !in_class {
                    *sum = sum.saturating_add(*last);
                    *last = 1;
                }
            }
            ']' if in_class => in_class = false,
            _ if in_class => {}
            '[' => {
                in_class = true;
                *sum = sum.saturating_add(*last);
                *last = 1;
                // A bracket that comes first is one of the class.
                let _ = chars.next_if_eq(&'^');
                let _ = chars.next_if_eq(&']');
            }
            '(' => groups.push((0, 0)),
            ')' if nested => {
                let (inner, end) = groups.pop()?;
                let (sum, last) = groups.last_mut()?;
                *sum = sum.saturating_add(*last);
                *last = inner.saturating_add(end).max(1);
            }
            '{' => {
                let mut count = String::new();
                while let Some(digit) = chars.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    count.push(digit);
                }
                let most = count.split(',').filter_map(|n| n.parse::<u64>().ok()).max();
                let _ = chars.next_if_eq(&'}');
                *last = last.saturating_mul(most.unwrap_or(1).max(1));
            }
            '*' | '+' | '?' => {}
            _ => {
                *sum = sum.saturating_add(*last);
                *last = 1;
            }
        }
    }
    let total = |(sum, last): &(u64, u64)| sum.saturating_add(*last);
    Some(groups.iter().map(total).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn repetitions_multiply() {
        for (pattern, parts) in [
            ("", Some(0)),
            ("abc", Some(3)),
            ("a{3}b{2,5}", Some(8)),
            ("(ab){10}", Some(20)),
            ("((a{100}){100}){100}", Some(1_000_000)),
            (r"[^]\]a-z]{4}\{", Some(5)),
            ("a{99999999999}{99999999999}{9}", Some(u64::MAX)),
            (r"a\", None),
            (r"a\\", Some(2)),
        ] {
            assert_eq!(weight(pattern), parts, "{pattern}");
        }
    }
}
