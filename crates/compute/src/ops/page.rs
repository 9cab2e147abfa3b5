//! Pages of a cache as values of their own: shared between sequences, written to files, read back.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytemuck::Pod;
use half::f16;

use super::cache::{Cache, PAGE, Page, Pages};
use crate::kernels::ops_tile::Element;

/// Keys and values of 64 positions in one layer. A clone shares them.
#[derive(Clone, Debug)]
pub struct CachePage(Typed);

#[derive(Clone, Debug)]
enum Typed {
    F32(Arc<Page<f32>>),
    F16(Arc<Page<f16>>),
}

impl Cache {
    /// The page of a number, shared with this cache, which writes to a copy of its own from then on.
    pub(crate) fn page(&self, index: usize) -> Option<CachePage> {
        Some(CachePage(match &self.pages {
            Pages::F32(pages) => Typed::F32(pages.get(index)?.clone()),
            Pages::F16(pages) => Typed::F16(pages.get(index)?.clone()),
        }))
    }

    /// Appends the first `positions` of a page.
    ///
    /// # Panics
    /// When this cache is not whole pages long, or the page is of other sizes.
    pub(crate) fn append(&mut self, page: &CachePage, positions: usize) {
        assert!(
            self.len.is_multiple_of(PAGE) && positions <= PAGE,
            "{positions} positions after {}",
            self.len
        );
        match (&mut self.pages, &page.0) {
            (Pages::F32(pages), Typed::F32(page)) => pages.push(page.fitting(self.shape)),
            (Pages::F16(pages), Typed::F16(page)) => pages.push(page.fitting(self.shape)),
            _ => panic!("a page of another precision"),
        }
        self.len += positions;
    }
}

impl CachePage {
    /// Writes the values, keys first, in the machine's byte order.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        match &self.0 {
            Typed::F32(page) => page.write(to),
            Typed::F16(page) => page.write(to),
        }
    }

    /// Reads what [`Self::write`] wrote of a cache of the same sizes and precision as `like`.
    pub(crate) fn read(like: &Cache, from: &mut dyn Read) -> io::Result<Self> {
        Ok(Self(match &like.pages {
            Pages::F32(_) => Typed::F32(Page::read(like, from)?),
            Pages::F16(_) => Typed::F16(Page::read(like, from)?),
        }))
    }
}

impl<T: Element + Pod> Page<T> {
    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(bytemuck::cast_slice(&self.keys))?;
        to.write_all(bytemuck::cast_slice(&self.values))
    }

    fn read(like: &Cache, from: &mut dyn Read) -> io::Result<Arc<Self>> {
        let mut page = Self::new(like.shape);
        from.read_exact(bytemuck::cast_slice_mut(&mut page.keys))?;
        from.read_exact(bytemuck::cast_slice_mut(&mut page.values))?;
        Ok(Arc::new(page))
    }

    fn fitting(self: &Arc<Self>, shape: super::cache::Shape) -> Arc<Self> {
        let expected = shape.kv_heads * PAGE;
        assert!(
            self.keys.len() == expected * shape.key_dim
                && self.values.len() == expected * shape.value_pitch(),
            "a page of another shape"
        );
        self.clone()
    }
}
