//! Any bytes are a GGUF file or an error; of a file that is accepted, every tensor can be read, and what it holds
//! can be written and read back.
#![no_main]

use hearth_format::{Bytes, Gguf, GgufWriter, Storage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = Gguf::from_bytes(Bytes::new(data.to_vec()), "fuzz") else {
        return;
    };
    for (key, value) in file.metadata().iter() {
        assert!(file.metadata().get(key).is_some());
        let _ = (value.integer(), value.text(), value.to_string());
    }
    for tensor in file.tensors() {
        let mut row = vec![0.0; tensor.columns()];
        tensor.dequantize_row(tensor.rows() - 1, &mut row);
    }
    if let Some(written) = write(&file) {
        let again = Gguf::from_bytes(Bytes::new(written.clone()), "written");
        let again = again.expect("what was written is a file");
        assert_eq!(write(&again).as_deref(), Some(written.as_slice()));
    }
});

/// The strict form of a file, unless a name is longer than the writer takes or the alignment would make it large.
fn write(file: &Gguf) -> Option<Vec<u8>> {
    let alignment = file.metadata().integer("general.alignment").unwrap_or(32);
    if alignment > 4096 {
        return None;
    }
    let mut writer = GgufWriter::new(file.metadata().clone()).ok()?;
    for tensor in file.tensors() {
        let Storage::Blocks { block, .. } = &tensor.storage else {
            unreachable!("GGUF has blocks only")
        };
        writer.tensor(&tensor.name, &tensor.shape, *block).ok()?;
    }
    let mut body = writer.start(Vec::new()).ok()?;
    for tensor in file.tensors() {
        let Storage::Blocks { bytes, .. } = &tensor.storage else {
            unreachable!("GGUF has blocks only")
        };
        body.write(bytes).expect("all bytes of the tensor");
    }
    Some(body.finish().expect("all tensors were written"))
}
