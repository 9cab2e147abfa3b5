//! The registry as Prometheus' text form.

use std::fmt::Write;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The content type of [`super::Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The library writes OpenMetrics, which names a counter without its ending and has a last line. Scrapers that take the
/// older form read both only if that is undone; it also lets other metrics follow.
pub(super) fn render(registry: &Registry) -> String {
    let mut open = String::new();
    encode(&mut open, registry).expect("writing to a String does not fail");
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let described = ["# HELP ", "# TYPE "]
            .iter()
            .find_map(|start| Some((start, line.strip_prefix(start)?.split_once(' ')?)));
        let written = match described {
            Some((start, (name, rest))) if counters.contains(&name) => {
                writeln!(text, "{start}{name}_total {rest}")
            }
            _ => writeln!(text, "{line}"),
        };
        written.expect("writing to a String does not fail");
    }
    text
}
