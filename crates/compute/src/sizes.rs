//! A [`Backend`] that computes nothing: it counts the memory that [`Cpu`](crate::Cpu) would take.
//!
//! A model that is run on it asks for the same buffers, scratch and caches as on the processor, in the same order, so
//! what a step takes is known without reading a weight. Each size comes from the function beside the allocation.

use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use hearth_format::{Bytes, Tensor};

use crate::{
    Error, Isa, Matrix, Precision,
    backend::{
        Activation, Attend, Backend, Convolution, Experts, Linear, Norm, Rope, Router, Scan,
        ScanInputs, Span,
    },
    matmul,
    ops::{
        attend,
        cache::{Cache, PAGE, Shape},
        experts,
        page::CachePage,
        recurrent::{self, Recurrent},
        rope,
    },
};

/// The shape of activations that are not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shadow {
    rows: usize,
    width: usize,
    /// Most values it had: buffers keep their memory.
    held: usize,
}

/// What was counted, in bytes. Caches and mapped weights are not in it: their sizes need no run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Activations, kept from step to step.
    pub buffers: usize,
    /// What operations keep beside them, all threads together.
    pub scratch: usize,
    /// Copies for the caller, freed between steps.
    pub copies: usize,
}

impl Counted {
    /// All of it.
    pub fn total(&self) -> usize {
        self.buffers + self.scratch + self.copies
    }
}

/// The largest of everything so far.
#[derive(Debug, Default)]
struct Peaks {
    buffers: usize,
    products: matmul::Sizes,
    attention: attend::Sizes,
    experts: usize,
    scan: usize,
    angles: usize,
    stored: usize,
    copies: usize,
}

/// Counts for a processor with `threads` threads that compute with `isa` in `precision`.
#[derive(Debug)]
pub struct Sizes {
    threads: usize,
    isa: Isa,
    precision: Precision,
    peaks: Mutex<Peaks>,
    vectors: AtomicUsize,
}

impl Sizes {
    /// Nothing counted yet.
    pub fn new(threads: usize, isa: Isa, precision: Precision) -> Self {
        Self {
            threads: threads.max(1),
            isa: isa.min(Isa::best()),
            precision,
            peaks: Mutex::default(),
            vectors: AtomicUsize::new(0),
        }
    }

    /// Bytes of all short arrays that it was given: unlike matrices they are copies.
    pub fn vectors(&self) -> usize {
        self.vectors.load(Ordering::Relaxed)
    }

    /// Threads of the team that it counts for.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Counted {
        let peaks = self.peaks(std::mem::take);
        let per_thread =
            peaks.products.per_thread() + peaks.attention.tile + peaks.stored + peaks.scan;
        Counted {
            buffers: peaks.buffers,
            scratch: peaks.products.shared()
                + per_thread * self.threads
                + peaks.attention.partials
                + peaks.experts
                + peaks.angles,
            copies: peaks.copies,
        }
    }

    fn peaks<R>(&self, f: impl FnOnce(&mut Peaks) -> R) -> R {
        f(&mut self.peaks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reshape(&self, out: &mut Shadow, rows: usize, width: usize) {
        (out.rows, out.width) = (rows, width);
        let more = (rows * width).saturating_sub(out.held);
        out.held += more;
        self.peaks(|peaks| peaks.buffers += more * size_of::<f32>());
    }

    fn products<'a>(&self, tokens: usize, weights: impl Iterator<Item = &'a Matrix>) {
        let sizes = matmul::sizes(self.isa, self.precision, tokens, weights);
        self.peaks(|peaks| peaks.products.widen(&sizes));
    }
}

impl Backend for Sizes {
    type Buffer = Shadow;
    type Matrix = Matrix;
    type Vector = Vec<f32>;
    type Cache = Cache;
    type Page = CachePage;
    type Recurrent = Recurrent;

    fn matrix(&self, tensor: &Tensor, rows: Range<usize>) -> Result<Matrix, Error> {
        Matrix::rows_of(tensor, rows)
    }

    fn vector(&self, values: Vec<f32>) -> Vec<f32> {
        self.vectors
            .fetch_add(size_of_val(&values[..]), Ordering::Relaxed);
        values
    }

    fn cache(&self, kv_heads: usize, key_dim: usize, value_dim: usize) -> Cache {
        Cache::new(self.precision, Shape::new(kv_heads, key_dim, value_dim))
    }

    fn truncate(&self, cache: &mut Cache, len: usize) {
        cache.truncate(len);
    }

    fn page_len(&self) -> usize {
        PAGE
    }

    /// None: its caches have a length and no pages.
    fn page(&self, cache: &Cache, index: usize) -> Option<CachePage> {
        cache.page(index)
    }

    fn append_page(&self, cache: &mut Cache, page: &CachePage, positions: usize) {
        cache.append(page, positions);
    }

    fn write_page(&self, page: &CachePage, to: &mut dyn Write) -> io::Result<()> {
        page.write(to)
    }

    fn read_page(&self, like: &Cache, from: &mut dyn Read) -> io::Result<CachePage> {
        CachePage::read(like, from)
    }

    fn lend_page(&self, like: &Cache, from: &mut Bytes) -> Option<CachePage> {
        CachePage::lend(like, from)
    }

    fn cache_bytes(
        &self,
        kv_heads: usize,
        key_dim: usize,
        value_dim: usize,
        positions: usize,
    ) -> usize {
        Shape::new(kv_heads, key_dim, value_dim).bytes(self.precision, positions)
    }

    fn recurrent(&self, values: usize) -> Recurrent {
        Recurrent::new(values)
    }

    fn zeroed(&self, like: &Recurrent) -> Recurrent {
        like.zeroed()
    }

    fn commit(&self, recurrent: &mut Recurrent) {
        recurrent.commit();
    }

    fn restore(&self, recurrent: &mut Recurrent) {
        recurrent.restore();
    }

    fn write_recurrent(&self, recurrent: &Recurrent, to: &mut dyn Write) -> io::Result<()> {
        recurrent.write(to)
    }

    fn read_recurrent(&self, like: &Recurrent, from: &mut dyn Read) -> io::Result<Recurrent> {
        like.read(from)
    }

    /// Nothing: there are no values. The copies that a real one makes are counted.
    fn read(&self, x: &Shadow) -> Vec<f32> {
        // One for the caller, one that the caller cuts into rows.
        let bytes = 2 * x.rows * x.width * size_of::<f32>();
        self.peaks(|peaks| peaks.copies = peaks.copies.max(bytes));
        Vec::new()
    }

    fn embed(&self, table: &Matrix, ids: &[u32], _: f32, out: &mut Shadow) {
        self.reshape(out, ids.len(), table.columns());
    }

    fn norm(&self, _: &Norm<Vec<f32>>, x: &Shadow, out: &mut Shadow) {
        self.copy(x, out);
    }

    fn norm_in_place(&self, _: &Norm<Vec<f32>>, _: &mut Shadow) {}

    fn linear(&self, x: &Shadow, products: &mut [Linear<'_, Self>]) {
        for product in products.iter_mut() {
            self.reshape(product.out, x.rows, product.weight.rows());
        }
        self.products(x.rows, products.iter().map(|product| product.weight));
    }

    fn rope(&self, rope: &Rope, _: usize, positions: &[u32], _: &mut Shadow) {
        let bytes = rope::kept_bytes(rope, positions.len());
        self.peaks(|peaks| peaks.angles = peaks.angles.max(bytes));
    }

    fn store(&self, cache: &mut Cache, span: &Span, k: &Shadow, _: &Shadow) {
        cache.pretend(span);
        let bytes = cache.store_bytes(span, k.width);
        self.peaks(|peaks| peaks.stored = peaks.stored.max(bytes));
    }

    fn attend(
        &self,
        attend: &Attend<Vec<f32>>,
        spans: &[(Span, &Cache)],
        q: &Shadow,
        out: &mut Shadow,
    ) {
        self.reshape(out, q.rows, attend.heads * attend.value_dim);
        let sizes = attend::sizes(self.threads, attend, spans);
        self.peaks(|peaks| peaks.attention.widen(&sizes));
    }

    fn convolve(
        &self,
        _: &Convolution<Vec<f32>>,
        _: &mut [(Span, &mut Recurrent)],
        x: &Shadow,
        out: &mut Shadow,
    ) {
        self.copy(x, out);
    }

    fn scan(
        &self,
        scan: &Scan<Vec<f32>>,
        _: &mut [(Span, &mut Recurrent)],
        inputs: ScanInputs<'_, Shadow>,
        out: &mut Shadow,
    ) {
        self.copy(inputs.x, out);
        let bytes = recurrent::scratch_bytes(scan);
        self.peaks(|peaks| peaks.scan = peaks.scan.max(bytes));
    }

    fn activate(&self, _: Activation, _: &mut Shadow, _: Option<&Shadow>) {}

    fn experts(
        &self,
        router: &Router,
        experts: &Experts<Matrix>,
        _: &Shadow,
        x: &Shadow,
        out: &mut Shadow,
    ) {
        let width = experts.down.first().map_or(x.width, Matrix::rows);
        self.reshape(out, x.rows, width);
        let bytes = experts::work_bytes(router, experts, x.rows, x.width);
        self.peaks(|peaks| peaks.experts = peaks.experts.max(bytes));
        let all = [&experts.gate, &experts.up, &experts.down];
        for matrices in all {
            self.products(x.rows, matrices.iter().take(1));
        }
    }

    fn add(&self, _: &mut Shadow, _: &Shadow, _: f32) {}

    fn add_bias(&self, _: &mut Shadow, _: &Vec<f32>) {}

    fn multiply(&self, _: &mut Shadow, _: &Shadow) {}

    fn scale(&self, _: &mut Shadow, _: f32, _: Option<f32>) {}

    fn copy(&self, x: &Shadow, out: &mut Shadow) {
        self.reshape(out, x.rows, x.width);
    }

    fn select(&self, x: &Shadow, rows: &[usize], out: &mut Shadow) {
        self.reshape(out, rows.len(), x.width);
    }

    fn mean(&self, x: &Shadow, ranges: &[Range<usize>], out: &mut Shadow) {
        self.reshape(out, ranges.len(), x.width);
    }
}
