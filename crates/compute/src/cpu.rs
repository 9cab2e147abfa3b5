//! The processor as a [`Backend`].

use std::{
    io::{self, Read, Write},
    ops::Range,
};

use hearth_format::{Bytes, Tensor};

use crate::{
    Error, Isa, Matrix, Precision, Product, Team,
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
        rope, rows,
    },
};

/// Activations `[rows, width]` in memory. A step that needs less keeps the memory for the next.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    pub(crate) data: Vec<f32>,
    pub(crate) width: usize,
}

impl Buffer {
    /// A buffer of the rows in `data`, each of `width` values.
    ///
    /// # Panics
    /// When `data` is not a whole number of rows.
    pub fn new(data: Vec<f32>, width: usize) -> Self {
        assert!(
            data.is_empty() || (width > 0 && data.len().is_multiple_of(width)),
            "whole rows of {width}"
        );
        Self { data, width }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.width).unwrap_or(0)
    }

    /// One row.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.width..][..self.width]
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index * self.width..][..self.width]
    }

    /// Gives the buffer another shape; what is in it is then unspecified.
    pub(crate) fn reshape(&mut self, rows: usize, width: usize) -> &mut [f32] {
        self.width = width;
        self.data.resize(rows * width, 0.0);
        &mut self.data
    }
}

/// The processor: a team of threads, the instruction set they use, and how exactly they compute.
///
/// Results do not depend on the number of threads.
#[derive(Debug)]
pub struct Cpu {
    team: Team,
    isa: Isa,
    precision: Precision,
    tables: rope::Tables,
    attend: attend::Scratch,
    experts: experts::Scratch,
    scans: recurrent::Scratch,
}

impl Cpu {
    /// Starts `threads` threads, the caller counted, for kernels of `isa` ([`Isa::detect`]).
    ///
    /// # Errors
    /// When the processor lacks `isa`.
    pub fn new(threads: usize, isa: Isa, precision: Precision) -> Result<Self, Error> {
        let available = Isa::best();
        if isa > available {
            return Err(Error::Unavailable {
                wanted: isa,
                available,
            });
        }
        Ok(Self {
            team: Team::new(threads),
            isa,
            precision,
            tables: rope::Tables::default(),
            attend: attend::Scratch::default(),
            experts: experts::Scratch::default(),
            scans: recurrent::Scratch::default(),
        })
    }

    /// The threads.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How products are computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type Matrix = Matrix;
    type Vector = Vec<f32>;
    type Cache = Cache;
    type Page = CachePage;
    type Recurrent = Recurrent;

    fn matrix(&self, tensor: &Tensor, rows: Range<usize>) -> Result<Matrix, Error> {
        Matrix::rows_of(tensor, rows)
    }

    fn vector(&self, values: Vec<f32>) -> Vec<f32> {
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

    fn read(&self, x: &Buffer) -> Vec<f32> {
        x.data.clone()
    }

    fn embed(&self, table: &Matrix, ids: &[u32], scale: f32, out: &mut Buffer) {
        rows::embed(&self.team, self.isa, table, ids, scale, out);
    }

    fn norm(&self, norm: &Norm<Vec<f32>>, x: &Buffer, out: &mut Buffer) {
        self.copy(x, out);
        self.norm_in_place(norm, out);
    }

    fn norm_in_place(&self, norm: &Norm<Vec<f32>>, x: &mut Buffer) {
        rows::norm(&self.team, self.isa, norm, x);
    }

    fn linear(&self, x: &Buffer, products: &mut [Linear<'_, Self>]) {
        let tokens = x.rows();
        let mut jobs: Vec<Product<'_>> = products
            .iter_mut()
            .map(|product| {
                let rows = product.weight.rows();
                Product {
                    weight: product.weight,
                    out: product.out.reshape(tokens, rows),
                    out_stride: rows,
                }
            })
            .collect();
        matmul::linear(
            &self.team,
            self.isa,
            self.precision,
            &x.data,
            tokens,
            &mut jobs,
        );
        for product in products {
            if let Some(bias) = product.bias {
                rows::add_bias(&self.team, self.isa, product.out, bias);
            }
        }
    }

    fn rope(&self, rope: &Rope, head_dim: usize, positions: &[u32], x: &mut Buffer) {
        rope::rope(
            &self.team,
            self.isa,
            &self.tables,
            rope,
            head_dim,
            positions,
            x,
        );
    }

    fn store(&self, cache: &mut Cache, span: &Span, k: &Buffer, v: &Buffer) {
        cache.store(&self.team, span, k, v);
    }

    fn attend(
        &self,
        attend: &Attend<Vec<f32>>,
        spans: &[(Span, &Cache)],
        q: &Buffer,
        out: &mut Buffer,
    ) {
        attend::attend(&self.team, self.isa, &self.attend, attend, spans, q, out);
    }

    fn convolve(
        &self,
        convolution: &Convolution<Vec<f32>>,
        spans: &mut [(Span, &mut Recurrent)],
        x: &Buffer,
        out: &mut Buffer,
    ) {
        recurrent::convolve(&self.team, self.isa, convolution, spans, x, out);
    }

    fn scan(
        &self,
        scan: &Scan<Vec<f32>>,
        spans: &mut [(Span, &mut Recurrent)],
        inputs: ScanInputs<'_, Buffer>,
        out: &mut Buffer,
    ) {
        recurrent::scan(&self.team, self.isa, &self.scans, scan, spans, inputs, out);
    }

    fn activate(&self, activation: Activation, gate: &mut Buffer, up: Option<&Buffer>) {
        rows::activate(
            &self.team,
            self.isa,
            activation,
            &mut gate.data,
            up.map(|up| &up.data[..]),
        );
    }

    fn experts(
        &self,
        router: &Router,
        experts: &Experts<Matrix>,
        scores: &Buffer,
        x: &Buffer,
        out: &mut Buffer,
    ) {
        let step = experts::Step {
            team: &self.team,
            isa: self.isa,
            precision: self.precision,
            experts,
            x,
        };
        step.run(&self.experts, router, scores, out);
    }

    fn add(&self, x: &mut Buffer, y: &Buffer, scale: f32) {
        rows::add(&self.team, self.isa, x, y, scale);
    }

    fn add_bias(&self, x: &mut Buffer, bias: &Vec<f32>) {
        rows::add_bias(&self.team, self.isa, x, bias);
    }

    fn multiply(&self, x: &mut Buffer, y: &Buffer) {
        rows::multiply(&self.team, self.isa, x, y);
    }

    fn scale(&self, x: &mut Buffer, scale: f32, soft_cap: Option<f32>) {
        rows::scale(&self.team, self.isa, x, scale, soft_cap);
    }

    fn copy(&self, x: &Buffer, out: &mut Buffer) {
        out.reshape(x.rows(), x.width).copy_from_slice(&x.data);
    }

    fn select(&self, x: &Buffer, rows: &[usize], out: &mut Buffer) {
        rows::select(x, rows, out);
    }

    fn mean(&self, x: &Buffer, ranges: &[Range<usize>], out: &mut Buffer) {
        rows::mean(&self.team, self.isa, x, ranges, out);
    }
}
