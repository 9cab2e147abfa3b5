//! Files put together by hand, so that they can be wrong.

/// A GGUF file put together by hand, so that it can be wrong.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: u32,
    pub(crate) tensors: u64,
    pub(crate) pairs: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) data: usize,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self {
            version: 3,
            tensors: 0,
            pairs: 0,
            body: Vec::new(),
            data: 0,
        }
    }

    pub(crate) fn text(mut self, text: &[u8]) -> Self {
        self.body.extend((text.len() as u64).to_le_bytes());
        self.body.extend(text);
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.extend(bytes);
        self
    }

    pub(crate) fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.pairs += 1;
        self.text(key.as_bytes())
            .raw(&kind.to_le_bytes())
            .raw(value)
    }

    pub(crate) fn tensor(mut self, name: &str, sizes: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors += 1;
        let mut this = self
            .text(name.as_bytes())
            .raw(&(sizes.len() as u32).to_le_bytes());
        for size in sizes {
            this = this.raw(&size.to_le_bytes());
        }
        this.raw(&kind.to_le_bytes()).raw(&offset.to_le_bytes())
    }

    pub(crate) fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensors.to_le_bytes());
        out.extend(self.pairs.to_le_bytes());
        out.extend(&self.body);
        if self.data > 0 {
            out.resize(out.len().next_multiple_of(32) + self.data, 0);
        }
        out
    }
}

/// A safetensors file of this header and `data` zero bytes.
pub(crate) fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.resize(out.len() + data, 0);
    out
}
