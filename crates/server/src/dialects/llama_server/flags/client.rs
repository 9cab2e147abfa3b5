//! Options of llama.cpp's chat client, which its server does not have.

use super::{Effect, Row, pair, plain, takes};

const CLIENT: Effect = Effect::Refused("it belongs to the chat client: use `hearth run`");

pub(super) const ROWS: &[Row] = &[
    takes(&["-p", "--prompt"], "", CLIENT),
    takes(&["-f", "--file"], "", CLIENT),
    takes(&["-bf", "--binary-file"], "", CLIENT),
    takes(&["--server-base"], "", CLIENT),
    plain(&["--verbose-prompt"], "", CLIENT),
    pair(&["--display-prompt"], &["--no-display-prompt"], "", CLIENT),
    takes(&["-co", "--color"], "", CLIENT),
    takes(&["-sys", "--system-prompt"], "", CLIENT),
    pair(
        &["--show-timings"],
        &["--no-show-timings"],
        "SHOW_TIMINGS",
        CLIENT,
    ),
    takes(&["-sysf", "--system-prompt-file"], "", CLIENT),
    plain(&["-st", "--single-turn"], "", CLIENT),
    plain(&["-mli", "--multiline-input"], "", CLIENT),
    takes(&["--image", "--audio", "--video"], "", CLIENT),
    takes(&["-o", "--output", "--output-file"], "", CLIENT),
    plain(&["--simple-io"], "", CLIENT),
];
