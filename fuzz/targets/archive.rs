//! An archive of models comes from anyone: importing it ends, and the store stays sound.
#![no_main]

use hearth_store::Store;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::new(directory.path().join("store"));
    let _ = store.import(bytes, None, &|_| {});
    let listing = store.list().expect("the store opens");
    assert!(listing.faults.is_empty());
    for entry in listing.entries {
        for layer in entry.manifest.contents() {
            store.layer_file(&entry.name, layer).expect("a named content is there");
        }
    }
    let outside = std::fs::read_dir(directory.path()).expect("the directory is there").count();
    assert!(outside <= 1, "something lies outside the store");
});
