//! Guides work out what may come next on a thread of their own, beside the model's step.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use super::{live::Live, plan::Share};
use crate::Guide;

type Lent = (usize, Box<dyn Guide>);

/// The thread, started by the first guide.
#[derive(Default)]
pub(super) struct Masks {
    worker: Option<(Sender<Lent>, Receiver<Lent>)>,
    lent: usize,
}

impl Masks {
    /// Lends out the guides of those whose next token is chosen after this step.
    pub(super) fn prepare(&mut self, live: &mut [Live<'_>], shares: &[Share]) {
        for share in shares {
            let text = &mut live[share.index];
            if share.tokens == text.pending()
                && let Some(guide) = text.answer.terms.guide.take()
            {
                let (to, _) = self.worker.get_or_insert_with(start);
                match to.send((share.index, guide)) {
                    Ok(()) => self.lent += 1,
                    // Without a thread it is worked out when it is needed.
                    Err(back) => text.answer.terms.guide = Some(back.0.1),
                }
            }
        }
    }

    /// Puts them back. A guide whose thread broke down is missed by its text, which then fails.
    pub(super) fn collect(&mut self, live: &mut [Live<'_>]) {
        for _ in 0..std::mem::take(&mut self.lent) {
            let Some((_, from)) = &self.worker else {
                return;
            };
            match from.recv() {
                Ok((index, guide)) => live[index].answer.terms.guide = Some(guide),
                Err(_) => self.worker = None,
            }
        }
    }
}

fn start() -> (Sender<Lent>, Receiver<Lent>) {
    let (to, jobs) = channel::<Lent>();
    let (done, from) = channel();
    let work = move || {
        for (index, mut guide) in jobs {
            // A guide that panics has its say when it is asked; the others are not held up.
            let prepared =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guide.prepare()));
            drop(prepared);
            if done.send((index, guide)).is_err() {
                return;
            }
        }
    };
    // Without a thread the channel is closed, and guides are asked when they are needed.
    let _ = thread::Builder::new().name("masks".to_owned()).spawn(work);
    (to, from)
}
