//! What a registry or a user writes: names, digests, manifests, Modelfiles. Whatever parses stays inside the store, and a
//! Modelfile that was printed says the same.
#![no_main]

use std::path::Component;

use hearth_store::{Digest, Layout, Manifest, Modelfile, Name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let layout = Layout::new("/store");
    let inside = |path: std::path::PathBuf| {
        let below = path.strip_prefix("/store").expect("below the root");
        assert!(below.components().all(|part| matches!(part, Component::Normal(_))));
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(name) = text.parse::<Name>() {
            inside(layout.manifest(&name));
            assert_eq!(name.full().parse::<Name>().expect("a full name is a name").parts(), name.parts());
        }
        if let Ok(digest) = text.parse::<Digest>() {
            inside(layout.blob(&digest));
        }
    }
    if let Ok(manifest) = Manifest::parse(bytes, "m") {
        for layer in manifest.contents() {
            inside(layout.blob(&layer.digest));
        }
        assert_eq!(manifest.raw(), bytes);
    }
    if let Ok(modelfile) = Modelfile::parse(bytes)
        && modelfile.iter().all(hearth_store::Instruction::comes_back)
    {
        let printed = modelfile.to_string();
        let again = Modelfile::parse(printed.as_bytes()).expect("what was printed is read");
        assert!(modelfile.iter().eq(again.iter()), "{printed}");
    }
});
