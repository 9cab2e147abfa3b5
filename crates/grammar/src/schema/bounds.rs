//! Bounds of numbers, as the engine needs them.
//!
//! The engine writes an interval as an expression over decimals. Where both ends lie in one unit, as in (0, 0.5], it
//! takes the whole number that such an interval excludes. And it holds bounds as f64. So bounds are moved inwards where
//! they would let something through that does not fit.

use serde_json::{Map, Number, Value};

use super::definitions::inner_mut;

/// How far an open end moves at most. Numbers that are nearer to it are not written.
const NEAREST: f64 = 1e-12;
/// From here on f64 has no fractions.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// Moves the bounds in definitions that have their final form.
pub(super) fn mend(definitions: &mut Map<String, Value>) {
    let mut ends = Vec::new();
    for definition in definitions.values_mut() {
        every(definition, &mut |map| {
            ends.extend(plain(map));
        });
    }
    // Schemas are combined later, so an end that another has is taken for one of the same number.
    ends.sort_by(f64::total_cmp);
    for definition in definitions.values_mut() {
        every(definition, &mut |map| {
            open(map, ["exclusiveMinimum", "minimum"], 1.0, &ends);
            open(map, ["exclusiveMaximum", "maximum"], -1.0, &ends);
        });
    }
}

fn every(schema: &mut Value, work: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(map) = schema else {
        return;
    };
    work(map);
    for schema in inner_mut(map) {
        every(schema, work);
    }
}

/// Gives a schema's bounds the form of draft 2020-12 and the values that the engine can hold; all of them.
fn plain(map: &mut Map<String, Value>) -> Vec<f64> {
    let mut ends = Vec::new();
    for (open, closed, inwards) in [
        ("exclusiveMinimum", "minimum", 1.0),
        ("exclusiveMaximum", "maximum", -1.0),
    ] {
        if let Some(&Value::Bool(excludes)) = map.get(open) {
            map.remove(open);
            let bound = excludes.then(|| map.remove(closed)).flatten();
            map.extend(bound.map(|bound| (open.to_owned(), bound)));
        }
        for key in [open, closed] {
            if let Some(Value::Number(number)) = map.get_mut(key) {
                let held = held(number, inwards);
                ends.extend(held);
                if let Some(held) = held.filter(|_| !number.is_f64() && !exact(number)) {
                    *number = Number::from_f64(held).unwrap_or_else(|| number.clone());
                }
            }
        }
    }
    ends
}

fn exact(number: &Number) -> bool {
    let held = number.as_f64().map(|float| format!("{float:.0}"));
    held.as_deref() == Some(&*number.to_string())
}

/// The f64 that is nearest to a bound and not outside it.
fn held(number: &Number, inwards: f64) -> Option<f64> {
    let float = number.as_f64()?;
    let whole = number.as_i128().filter(|_| !number.is_f64());
    match whole {
        Some(whole) if inwards > 0.0 && (float as i128) < whole => Some(float.next_up()),
        Some(whole) if inwards < 0.0 && (float as i128) > whole => Some(float.next_down()),
        _ => Some(float),
    }
}

/// Closes an open end that lies on a whole number, next to it, where the other end may lie before the next one. Ends
/// away from zero are written rightly.
fn open(map: &mut Map<String, Value>, [open, closed]: [&str; 2], inwards: f64, ends: &[f64]) {
    let Some(end) = map.get(open).and_then(Value::as_f64) else {
        return;
    };
    if end.fract() != 0.0 || end * inwards < 0.0 || end.abs() >= WHOLE {
        return;
    }
    let other = match inwards > 0.0 {
        true => ends.get(ends.partition_point(|&other| other <= end)),
        false => ends[..ends.partition_point(|&other| other < end)].last(),
    };
    let distance = other.map(|other| (other - end) * inwards);
    let Some(distance) = distance.filter(|&distance| distance < 1.0) else {
        return;
    };
    let next = if inwards > 0.0 {
        end.next_up()
    } else {
        end.next_down()
    };
    let mut moved = end + inwards * NEAREST.min(distance * 1e-6);
    // A number that large has no such neighbours.
    if end != 0.0 && moved == end {
        moved = next;
    }
    let own = map.get(closed).and_then(Value::as_f64);
    if own.is_none_or(|own| (moved - own) * inwards > 0.0) {
        map.insert(closed.to_owned(), moved.into());
    }
    map.remove(open);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_move_where_they_must() {
        for (schema, expected) in [
            (
                json!({"exclusiveMinimum": 0}),
                json!({"exclusiveMinimum": 0}),
            ),
            (
                json!({"exclusiveMinimum": 0, "maximum": 1}),
                json!({"exclusiveMinimum": 0, "maximum": 1}),
            ),
            (
                json!({"exclusiveMinimum": 0, "maximum": 0.5}),
                json!({"maximum": 0.5, "minimum": 1e-12}),
            ),
            (
                json!({"exclusiveMinimum": 0, "exclusiveMaximum": 1e-9}),
                json!({"exclusiveMaximum": 1e-9, "minimum": 1e-15}),
            ),
            (
                json!({"exclusiveMaximum": 0, "minimum": -0.5}),
                json!({"minimum": -0.5, "maximum": -1e-12}),
            ),
            (
                json!({"exclusiveMaximum": 1, "minimum": 0.5}),
                json!({"exclusiveMaximum": 1, "minimum": 0.5}),
            ),
            (
                json!({"minimum": 3, "exclusiveMinimum": true}),
                json!({"exclusiveMinimum": 3}),
            ),
            (
                json!({"minimum": 3, "exclusiveMinimum": false}),
                json!({"minimum": 3}),
            ),
            (json!({"exclusiveMinimum": true}), json!({})),
            (
                json!({"allOf": [{"exclusiveMinimum": 5}, {"items": {"maximum": 5.25}}]}),
                json!({"allOf": [{"minimum": 5.000_000_000_001}, {"items": {"maximum": 5.25}}]}),
            ),
            (
                json!({"minimum": 9_007_199_254_740_993_i64, "maximum": 9_007_199_254_740_995_i64}),
                json!({"minimum": 9_007_199_254_740_994.0, "maximum": 9_007_199_254_740_994.0}),
            ),
            (
                json!({"minimum": -9_223_372_036_854_775_807_i64, "maximum": 12}),
                json!({"minimum": -9_223_372_036_854_774_784.0, "maximum": 12}),
            ),
        ] {
            let mut definitions = Map::from_iter([("0".to_owned(), schema.clone())]);
            mend(&mut definitions);
            assert_eq!(definitions["0"], expected, "{schema}");
        }
    }
}
