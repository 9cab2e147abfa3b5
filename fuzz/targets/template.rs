//! A chat template is untrusted text: compiling and rendering it ends, and never panics.
#![no_main]

use hearth_chat::{Error, Message, Request, SpecialTokens, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let request = Request {
        messages: vec![Message::new("user", "hello"), Message::new("assistant", "hi")],
        add_generation_prompt: true,
        ..Request::default()
    };
    let result = Template::new(source, SpecialTokens::default())
        .and_then(|template| template.render(&request));
    if let Err(Error::Engine { message }) = result {
        panic!("{message}");
    }
});
