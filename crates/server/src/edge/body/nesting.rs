//! How deep a JSON text goes, known before any parser recurses into it.

/// The byte at which the text goes deeper than `limit`; `None` where it does not. Strings are skipped; text that is no
/// JSON gives some answer and never fails.
pub(crate) fn deeper_than(text: &[u8], limit: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        if in_string {
            match (escaped, byte) {
                (true, _) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, b'"') => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return Some(at);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_levels_outside_of_strings() {
        for (text, limit, expected) in [
            ("", 0, None),
            ("1", 0, None),
            ("[]", 0, Some(0)),
            ("[[]]", 2, None),
            ("[[[]]]", 2, Some(2)),
            (r#"{"a":{"b":[1]}}"#, 3, None),
            (r#"{"a":{"b":[1]}}"#, 2, Some(10)),
            (r#"["[[[[[["]"#, 1, None),
            (r#"["\"[[[["]"#, 1, None),
            (r#"["\\",[]]"#, 1, Some(6)),
            ("]]]][", 1, None),
        ] {
            assert_eq!(
                deeper_than(text.as_bytes(), limit),
                expected,
                "{text} {limit}"
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_parsed_value(depth in 0usize..100, limit in 0usize..100, object in any::<bool>()) {
            let (open, close) = if object { ("{\"]\":", "}") } else { ("[", "]") };
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(deeper_than(text.as_bytes(), limit).is_none(), depth <= limit);
        }
    }
}
