//! Who is next: first by class, then the client that was served least, then by arrival.

use std::collections::{HashMap, VecDeque};

use super::{job::Class, live::Live};

/// Jobs without a place.
pub(super) struct Queue<'e> {
    waiting: VecDeque<Live<'e>>,
    /// Tokens that each client was given lately. A client that comes anew starts with the least of the others, so that
    /// waiting earns nothing.
    served: HashMap<u64, u64>,
}

impl<'e> Queue<'e> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            served: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, job: Live<'e>) {
        let least = self.served.values().min().copied().unwrap_or(0);
        self.served.entry(job.client).or_insert(least);
        self.waiting.push_back(job);
    }

    /// Puts back a job that made room: it is the first of its client.
    pub(super) fn push_front(&mut self, job: Live<'e>) {
        self.waiting.push_front(job);
    }

    /// Counts work for a client.
    pub(super) fn serve(&mut self, client: u64, tokens: usize) {
        *self.served.entry(client).or_default() += tokens as u64;
    }

    /// Takes out those that `gone` says are.
    pub(super) fn drop_gone(&mut self, gone: impl Fn(&Live<'e>) -> bool) -> Vec<Live<'e>> {
        let (out, stay) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(gone);
        self.waiting = stay;
        let out: VecDeque<_> = out;
        out.into()
    }

    /// The next job of a class that `ready` does not hold back.
    pub(super) fn next(
        &mut self,
        class: Class,
        ready: impl Fn(&Live<'e>) -> bool,
    ) -> Option<Live<'e>> {
        let served = |job: &Live<'e>| self.served.get(&job.client).copied().unwrap_or(0);
        let index = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, job)| job.class == class && ready(job))
            .min_by_key(|(index, job)| (served(job), *index))?
            .0;
        self.waiting.remove(index)
    }

    /// Forgets clients that have nothing here, once there are many.
    pub(super) fn forget(&mut self, live: &[Live<'e>]) {
        if self.served.len() > 1024 {
            let here: std::collections::HashSet<u64> = self
                .waiting
                .iter()
                .chain(live)
                .map(|job| job.client)
                .collect();
            self.served.retain(|client, _| here.contains(client));
        }
    }
}
