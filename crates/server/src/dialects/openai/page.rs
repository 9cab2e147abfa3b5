//! Lists that are shown in parts.

use serde_json::{Value, json};

/// Which part of a list is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Most items, 1 to 100; 20 where it is none.
    pub limit: Option<usize>,
    /// Oldest first rather than newest first.
    pub ascending: bool,
    /// Begin after the item of this id.
    pub after: Option<String>,
}

/// Most items of one part.
const MOST: usize = 100;

impl Page {
    /// The part of a list that has the newest first.
    pub fn of(&self, mut newest_first: Vec<Value>) -> Value {
        if self.ascending {
            newest_first.reverse();
        }
        let begin = match &self.after {
            None => 0,
            // After an item that is gone there is nothing: the same page again would never end.
            Some(after) => newest_first
                .iter()
                .position(|item| item["id"] == json!(after))
                .map_or(newest_first.len(), |place| place + 1),
        };
        let limit = self.limit.unwrap_or(20).clamp(1, MOST);
        let rest = newest_first.split_off(begin);
        let has_more = rest.len() > limit;
        let data: Vec<Value> = rest.into_iter().take(limit).collect();
        let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        json!({
            "object": "list", "first_id": id(data.first()), "last_id": id(data.last()), "has_more": has_more, "data": data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_list() {
        let list: Vec<Value> = (0..5)
            .rev()
            .map(|n| json!({"id": format!("i{n}")}))
            .collect();
        for (limit, ascending, after, expected, more) in [
            (None, false, None, "i4 i3 i2 i1 i0", false),
            (Some(2), false, None, "i4 i3", true),
            (Some(2), true, Some("i1"), "i2 i3", true),
            (Some(2), true, Some("i3"), "i4", false),
            (Some(0), false, None, "i4", true),
            (None, false, Some("gone"), "", false),
        ] {
            let page = Page {
                limit,
                ascending,
                after: after.map(str::to_owned),
            };
            let value = page.of(list.clone());
            let ids: Vec<&str> = value["data"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|item| item["id"].as_str())
                .collect();
            assert_eq!(ids.join(" "), expected);
            assert_eq!(value["has_more"], more);
        }
        let empty = Page::default().of(vec![]);
        assert_eq!(
            empty,
            json!({"object": "list", "first_id": null, "last_id": null, "has_more": false, "data": []})
        );
    }
}
