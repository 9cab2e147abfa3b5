//! Any bytes are a safetensors file or an error; of a file that is accepted, every tensor can be read.
#![no_main]

use hearth_format::{Bytes, SafeTensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = SafeTensors::from_bytes(Bytes::new(data.to_vec()), "fuzz") else {
        return;
    };
    for tensor in file.tensors() {
        if tensor.rows() > 0 {
            let mut row = vec![0.0; tensor.columns()];
            tensor.dequantize_row(tensor.rows() - 1, &mut row);
        }
    }
});
