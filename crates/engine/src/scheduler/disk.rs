//! The loop's dealings with the disk: what is fetched for a text before it begins, and what is written.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Live, Scheduler};
use crate::spill::{self, Coming, ranked_at};

/// How long a step waits for the disk where there is nothing else to do.
const WAIT: Duration = Duration::from_millis(2);

impl<'e> Scheduler<'e> {
    /// Begins to read what the disk has of a text beyond what is in memory. The last token is read by the model in any
    /// case, since its logits are needed.
    pub(super) fn fetch(&mut self, live: &Live<'e>) -> Option<Coming> {
        let spill = self.spill.as_ref()?;
        let (above, depth) = self.prefixes.after(live.shared.0);
        let rest = &live.tokens[live.shared.1 * self.page..live.tokens.len() - 1];
        spill.fetch(above, depth, rest)
    }

    /// Lets those begin whose pages are there.
    pub(super) fn arrive(&mut self) {
        for index in 0..self.live.len() {
            let coming = self.live[index].coming.as_ref();
            if let Some(pages) = coming.and_then(|coming| coming.take(Duration::ZERO)) {
                self.arrived(index, pages);
            }
        }
    }

    /// Waits a little for pages, where nothing can be computed. Says if there are any to wait for.
    pub(super) fn wait_for_disk(&mut self) -> bool {
        let waits = |live: &Live<'_>| live.coming.is_some();
        let Some(index) = self.live.iter().position(waits) else {
            return false;
        };
        let coming = self.live[index].coming.as_ref();
        if let Some(pages) = coming.and_then(|coming| coming.take(WAIT)) {
            self.arrived(index, pages);
        }
        true
    }

    fn arrived(&mut self, index: usize, pages: Vec<hearth_model::Page<hearth_compute::Cpu>>) {
        let mut live = self.live.remove(index);
        live.coming = None;
        self.totals.restored += (pages.len() * self.page) as u64;
        self.prefixes.graft(&live.tokens, live.shared.1, pages);
        self.attach(&mut live);
        self.begin(&mut live);
        self.live.insert(index, live);
        self.shrink();
    }

    /// Drops kept prefixes until there are as many pages as may be.
    pub(super) fn shrink(&mut self) {
        let (own, kept, most) = self.pages();
        self.evict((own + kept).saturating_sub(most));
    }

    /// Drops up to `count` pages of kept prefixes; they go to the disk if it has time for them.
    pub(super) fn evict(&mut self, count: usize) -> usize {
        let spill = self.spill.as_ref();
        let now = SystemTime::now();
        self.prefixes.evict(count, |kept| {
            if let Some(spill) = spill {
                let used = ranked_at(now, kept.depth);
                spill.offer(kept, used);
            }
        })
    }

    /// Puts pages in line that are in memory alone, as many as there is room for. To be called when nothing else is to
    /// be done. Says if there are more.
    pub fn save_some(&mut self) -> bool {
        let Some(spill) = &self.spill else {
            return false;
        };
        let now = SystemTime::now();
        for (rank, node) in self.prefixes.unsaved().into_iter().enumerate() {
            if !spill.offer(self.prefixes.kept(node), ranked_at(now, rank)) {
                return true;
            }
            self.prefixes.saved(node);
        }
        false
    }

    /// Ends everything that is there and writes to disk what is in memory alone, for a few seconds at most.
    pub fn close(&mut self) {
        self.cancel_all();
        if let Some(spill) = self.spill.take() {
            let ranked = self.prefixes.ranked();
            spill.close(ranked.into_iter().map(|node| self.prefixes.kept(node)));
        }
    }

    /// Writes what is kept of a text to a file of its own, for [`Self::load`]. Returns how many of the tokens there were
    /// and the file's length.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn save(&self, tokens: &[u32], path: &Path) -> io::Result<(usize, u64)> {
        self.has_identity()?;
        let pages = self.prefixes.path(tokens);
        let count = pages.iter().map(|kept| kept.tokens.len()).sum();
        Ok((count, spill::save(self.engine, &pages, path)?))
    }

    /// Reads what [`Self::save`] wrote, so that a text that begins with these tokens goes on from there. Returns the tokens
    /// and the file's length.
    ///
    /// # Errors
    /// Those of the disk; of kind `InvalidData` where the file is damaged, or belongs to another model or other settings:
    /// nothing is kept of it then.
    pub fn load(&mut self, path: &Path) -> io::Result<(Vec<u32>, u64)> {
        self.has_identity()?;
        let (tokens, pages, bytes) = spill::load(self.engine, self.root, path)?;
        self.prefixes.graft(&tokens, 0, pages);
        self.shrink();
        Ok((tokens, bytes))
    }

    fn has_identity(&self) -> io::Result<()> {
        let missing = || {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "nothing tells this model from others, so its pages cannot be kept in files",
            )
        };
        self.config.model.map(drop).ok_or_else(missing)
    }
}
