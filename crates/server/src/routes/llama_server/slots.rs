//! The places of answers. Texts are batched as they come and have no place of their own: what is numbered here is who
//! is shown at `GET /slots`, and which text `POST /slots/{id}` means.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    core::{Event, Failure},
    dialects::llama_server::control::{Slot, Task},
};

/// Share of a prompt that a place has to begin with to be preferred.
const SIMILAR: f64 = 0.1;

/// All places.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
    most: usize,
    /// Somebody left a place.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    places: Vec<Place>,
    tasks: u64,
}

/// A place and what was last done there.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Answers that have it at the moment: more than one where all places were taken.
    users: usize,
    used: Option<Instant>,
    context: usize,
    task: Option<Task>,
    /// The prompt as text.
    prompt: String,
    /// The tokens of prompt and answer that were read.
    held: Vec<u32>,
}

impl Place {
    fn is_free(&self) -> bool {
        self.users == 0
    }
}

impl Slots {
    /// So many places, and up to `most` where they do not suffice.
    pub(crate) fn new(count: usize, most: usize) -> Self {
        let state = State {
            places: vec![Place::default(); count.max(1)],
            tasks: 0,
        };
        Self {
            state: Mutex::new(state),
            most: most.max(1),
            left: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().places.len()
    }

    /// Checks the number of a place.
    ///
    /// # Errors
    /// There is none of it.
    pub(crate) fn check(&self, wanted: Option<usize>) -> Result<(), Failure> {
        let count = self.count();
        match wanted {
            Some(id) if id >= count => Err(Failure::invalid(
                "id_slot",
                format!("id_slot must be -1 to {}, got {id}", count - 1),
            )),
            _ => Ok(()),
        }
    }

    /// As `GET /slots` shows them; `context` is that of places where nothing was done yet.
    pub(crate) fn shown(&self, context: usize) -> Vec<Slot> {
        let state = self.lock();
        let places = state.places.iter().enumerate();
        let shown = places.map(|(id, place)| Slot {
            id,
            context: match place.context {
                0 => context,
                own => own,
            },
            task: place.task.clone(),
            busy: place.users > 0,
        });
        shown.collect()
    }

    /// Waits until a place is free.
    pub(crate) async fn free(&self, id: usize) {
        loop {
            let left = self.left.notified();
            if self.lock().places.get(id).is_none_or(Place::is_free) {
                return;
            }
            left.await;
        }
    }

    /// Has a place forget its text; returns how many tokens that had. What was computed of it is shared by all texts
    /// that begin alike, and goes when room is needed.
    pub(crate) fn erase(&self, id: usize) -> usize {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(id) else {
            return 0;
        };
        place.prompt.clear();
        std::mem::take(&mut place.held).len()
    }

    /// The tokens that a place holds.
    pub(crate) fn held(&self, id: usize) -> Vec<u32> {
        let state = self.lock();
        state
            .places
            .get(id)
            .map(|it| it.held.clone())
            .unwrap_or_default()
    }

    /// Has a place hold these tokens.
    pub(crate) fn hold(&self, id: usize, ids: Vec<u32>) {
        self.change(id, |place| {
            place.prompt.clear();
            place.held = ids;
        });
    }

    /// Takes a place: the one that is wanted; else a free one that begins alike, else the one that was free longest.
    fn take(&self, wanted: Option<usize>, prompt: &str, task: Task, context: usize) -> usize {
        let mut state = self.lock();
        let id = wanted.unwrap_or_else(|| self.choose(&mut state, prompt));
        state.tasks += 1;
        let task_id = state.tasks - 1;
        let place = &mut state.places[id];
        place.users += 1;
        place.used = Some(Instant::now());
        place.context = context;
        place.task = Some(Task {
            id: task_id,
            ..task
        });
        place.prompt.clear();
        place.prompt.push_str(prompt);
        id
    }

    fn choose(&self, state: &mut State, prompt: &str) -> usize {
        if !state.places.iter().any(Place::is_free) && state.places.len() < self.most {
            state.places.push(Place::default());
        }
        let places = || state.places.iter().enumerate();
        let alike = places()
            .filter(|(_, place)| place.is_free() && !place.prompt.is_empty())
            .map(|(id, place)| (id, same(&place.prompt, prompt)))
            .filter(|&(_, same)| same as f64 >= SIMILAR * prompt.len() as f64)
            .max_by_key(|&(id, same)| (same, std::cmp::Reverse(id)))
            .map(|(id, _)| id);
        let rested = || places().min_by_key(|(_, place)| (place.users, place.used));
        alike
            .or_else(|| rested().map(|(id, _)| id))
            .unwrap_or_default()
    }

    fn change(&self, id: usize, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.lock().places.get_mut(id) {
            change(place);
        }
    }
}

/// Bytes that both begin with.
fn same(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// An answer in its place, which it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Occupant {
    slots: Arc<Slots>,
    wanted: Option<usize>,
    settings: Value,
    limit: Option<usize>,
    place: Option<usize>,
}

impl Occupant {
    /// An answer that has no place yet. `limit` is how many tokens it may have.
    pub(super) fn new(
        slots: Arc<Slots>,
        wanted: Option<usize>,
        settings: Value,
        limit: Option<usize>,
    ) -> Self {
        Self {
            slots,
            wanted,
            settings,
            limit,
            place: None,
        }
    }

    /// Its place; 0 before it has one.
    pub(super) fn place(&self) -> usize {
        self.place.unwrap_or(0)
    }

    /// Takes notice of an event. Of several answers to a prompt the first is shown.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Started(started) => {
                let task = Task {
                    prompt: started.prompt_tokens,
                    cached: started.cached_tokens,
                    settings: std::mem::take(&mut self.settings),
                    remaining: self.limit,
                    ..Task::default()
                };
                let place = self
                    .slots
                    .take(self.wanted, &started.prompt, task, started.context);
                self.place = Some(place);
            }
            Event::Read { done, cached, .. } => {
                let read = done.saturating_sub(*cached);
                self.task(|task| task.read = read);
            }
            Event::Delta {
                choice: 0,
                pieces,
                tokens,
            } => {
                let count = tokens.len();
                let broken = pieces.iter().any(has_break);
                self.task(|task| {
                    task.read = task.prompt.saturating_sub(task.cached);
                    task.decoded += count;
                    task.remaining = task.remaining.map(|left| left.saturating_sub(count));
                    task.new_line |= broken;
                });
            }
            Event::End { choice: 0, outcome } => {
                if let Some(id) = self.place {
                    let mut held = outcome.ids.clone();
                    // The last token was chosen and not read.
                    held.pop();
                    self.slots.change(id, |place| place.held = held);
                }
            }
            _ => {}
        }
    }

    fn task(&self, change: impl FnOnce(&mut Task)) {
        if let Some(id) = self.place {
            self.slots.change(id, |place| {
                if let Some(task) = &mut place.task {
                    change(task);
                }
            });
        }
    }
}

fn has_break(piece: &crate::core::Piece) -> bool {
    use crate::core::Piece;
    match piece {
        Piece::Reasoning(text) | Piece::Content(text) | Piece::Arguments { text, .. } => {
            text.contains('\n')
        }
        Piece::Call { .. } => false,
    }
}

impl Drop for Occupant {
    fn drop(&mut self) {
        if let Some(id) = self.place {
            self.slots.change(id, |place| {
                place.users -= 1;
                place.used = Some(Instant::now());
            });
            self.slots.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Outcome, Piece, Started, Token};

    fn begun(slots: &Arc<Slots>, wanted: Option<usize>, prompt: &str) -> Occupant {
        let mut occupant = Occupant::new(slots.clone(), wanted, Value::Null, Some(8));
        occupant.event(&Event::Started(Started {
            model: "m".to_owned(),
            prompt: prompt.to_owned(),
            prompt_tokens: 5,
            cached_tokens: 2,
            context: 64,
            ..Started::default()
        }));
        occupant
    }

    #[test]
    fn a_place_is_chosen_by_its_number_its_text_or_its_rest() {
        let slots = Arc::new(Slots::new(2, 2));
        assert_eq!(begun(&slots, None, "Once upon").place(), 0);
        assert_eq!(begun(&slots, None, "To be or").place(), 1);
        assert_eq!(begun(&slots, None, "To be or not").place(), 1);
        assert_eq!(begun(&slots, None, "Once").place(), 0);
        assert_eq!(begun(&slots, Some(1), "Once").place(), 1);
        let all: Vec<Occupant> = (0..3).map(|_| begun(&slots, None, "x")).collect();
        assert_eq!(all[0].place() + all[1].place(), 1);
        let busy = || slots.shown(0).iter().filter(|slot| slot.busy).count();
        assert_eq!(busy(), 2);
        drop(all);
        assert_eq!((busy(), slots.count()), (0, 2));
        assert!(slots.check(Some(1)).is_ok() && slots.check(Some(2)).is_err());
    }

    #[test]
    fn more_places_come_where_they_may() {
        let slots = Arc::new(Slots::new(1, 2));
        let all = [0, 1, 2].map(|_| begun(&slots, None, "x"));
        assert_eq!(slots.count(), 2);
        drop(all);
    }

    #[test]
    fn what_is_done_is_shown_and_what_was_done_is_held() {
        let slots = Arc::new(Slots::new(1, 1));
        let mut occupant = begun(&slots, None, "x");
        occupant.event(&Event::Delta {
            choice: 0,
            pieces: vec![Piece::Content("a\n".to_owned())],
            tokens: vec![Token::default(); 3],
        });
        let shown = &slots.shown(1)[0];
        let task = shown.task.as_ref().unwrap();
        assert!(shown.busy && shown.context == 64 && task.new_line);
        assert_eq!((task.read, task.decoded, task.remaining), (3, 3, Some(5)));
        occupant.event(&Event::End {
            choice: 0,
            outcome: Outcome {
                ids: vec![1, 2, 3],
                ..Outcome::default()
            },
        });
        drop(occupant);
        assert_eq!(slots.held(0), [1, 2]);
        assert_eq!((slots.erase(0), slots.erase(0)), (2, 0));
        slots.hold(0, vec![7]);
        assert_eq!(slots.held(0), [7]);
        assert!(!slots.shown(1)[0].busy);
    }
}
