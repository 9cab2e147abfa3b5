//! Streams that outlive their clients. What a stream says is recorded on a tape, by which whoever lost the connection
//! goes on where it broke, also while the answer is still made.
//!
//! A tape holds the last [`LONGEST`] bytes and goes [`KEPT_FOR`] after its end. Tapes of one owner are no others'.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use crate::{
    core::Failure,
    dialects::{frame::seconds, llama_server::streams::Status},
};

/// Bytes that a tape holds; the oldest make room for more.
const LONGEST: usize = 4 << 20;
/// How long a tape stays after its end.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Tapes of one owner.
const OF_OWNER: usize = 32;
/// Bytes of all tapes.
const BYTES: usize = 64 << 20;
/// Bytes that are played at once.
const PIECE: usize = 64 << 10;

/// Which tape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// The name of a key; empty without keys.
    pub(super) owner: String,
    /// What the client calls it.
    pub(super) conversation: String,
}

/// All tapes.
#[derive(Debug, Default)]
pub(super) struct Tapes(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    tapes: HashMap<Name, Tape>,
    /// Of all tapes together.
    bytes: usize,
    /// Tapes that there ever were.
    made: u64,
}

#[derive(Debug)]
struct Tape {
    /// No other has it: a tape of the same name may have taken the place of one that is still played.
    number: u64,
    held: VecDeque<u8>,
    /// Bytes before those.
    dropped: usize,
    started: SystemTime,
    ended: Option<(Instant, SystemTime)>,
    /// Tells players of news.
    news: watch::Sender<()>,
    /// Is dropped with the tape, which tells the recorder.
    _there: oneshot::Sender<()>,
}

impl Tape {
    fn total(&self) -> usize {
        self.dropped + self.held.len()
    }

    fn forget(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.held.len());
        self.held.drain(..bytes);
        self.dropped += bytes;
        bytes
    }
}

impl Shelf {
    fn remove(&mut self, name: &Name) {
        if let Some(tape) = self.tapes.remove(name) {
            self.bytes -= tape.held.len();
        }
    }

    /// Removes tapes whose time is over.
    fn sweep(&mut self) {
        let over = |tape: &Tape| tape.ended.is_some_and(|(at, _)| at.elapsed() >= KEPT_FOR);
        let bytes = &mut self.bytes;
        self.tapes.retain(|_, tape| {
            let stays = !over(tape);
            if !stays {
                *bytes -= tape.held.len();
            }
            stays
        });
    }

    /// The tape that ended first, of an owner or of all.
    fn first_ended(&self, owner: Option<&str>) -> Option<Name> {
        let ended = self.tapes.iter().filter_map(|(name, tape)| {
            let is_theirs = owner.is_none_or(|owner| owner == name.owner);
            is_theirs.then_some((tape.ended?.0, name))
        });
        let first = ended.min_by_key(|(at, _)| *at);
        first.map(|(_, name)| name.clone())
    }

    fn make_place(&mut self, owner: &str) -> Result<(), Failure> {
        let count = |shelf: &Self| {
            let names = shelf.tapes.keys();
            names.filter(|name| name.owner == owner).count()
        };
        while count(self) >= OF_OWNER {
            let first = self.first_ended(Some(owner)).ok_or(Failure::Busy {
                retry_after: Duration::from_secs(1),
            })?;
            self.remove(&first);
        }
        Ok(())
    }

    /// The tape, unless another took its place.
    fn tape(&mut self, name: &Name, number: u64) -> Option<&mut Tape> {
        let tape = self.tapes.get_mut(name)?;
        (tape.number == number).then_some(tape)
    }

    fn add(&mut self, name: &Name, number: u64, bytes: &[u8]) {
        let Some(tape) = self.tape(name, number) else {
            return;
        };
        // Of more than a tape holds, the end.
        let (lost, bytes) = bytes.split_at(bytes.len().saturating_sub(LONGEST));
        let excess = (tape.held.len() + bytes.len()).saturating_sub(LONGEST);
        let forgotten = tape.forget(excess);
        tape.dropped += lost.len();
        tape.held.extend(bytes);
        tape.news.send_replace(());
        self.bytes = self.bytes - forgotten + bytes.len();
        self.keep_within(name, number);
    }

    /// Tapes that ended make room for one that runs, the oldest first and the owner's before others; then it loses its own
    /// beginning.
    fn keep_within(&mut self, name: &Name, number: u64) {
        while self.bytes > BYTES {
            let own = self.first_ended(Some(&name.owner));
            match own.or_else(|| self.first_ended(None)) {
                Some(first) => self.remove(&first),
                None => {
                    let excess = self.bytes - BYTES;
                    let tape = self.tape(name, number);
                    self.bytes -= tape.map_or(0, |tape| tape.forget(excess));
                    return;
                }
            }
        }
    }
}

impl Tapes {
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new tape. One of the same name goes, and its recorder is told to stop.
    ///
    /// # Errors
    /// The owner has too many that still run.
    pub(super) fn record(self: &Arc<Self>, name: Name) -> Result<Recorder, Failure> {
        let mut shelf = self.lock();
        shelf.sweep();
        shelf.remove(&name);
        shelf.make_place(&name.owner)?;
        shelf.made += 1;
        let (there, gone) = oneshot::channel();
        let tape = Tape {
            number: shelf.made,
            held: VecDeque::new(),
            dropped: 0,
            started: SystemTime::now(),
            ended: None,
            news: watch::Sender::new(()),
            _there: there,
        };
        let number = tape.number;
        shelf.tapes.insert(name.clone(), tape);
        Ok(Recorder {
            tapes: Arc::clone(self),
            name,
            number,
            gone,
        })
    }

    /// Plays a tape from one of its bytes on; none where there is no such tape.
    ///
    /// # Errors
    /// The byte is not held any more.
    pub(super) fn play(
        self: &Arc<Self>,
        name: Name,
        from: usize,
    ) -> Result<Option<Player>, Dropped> {
        let mut shelf = self.lock();
        shelf.sweep();
        let Some(tape) = shelf.tapes.get(&name) else {
            return Ok(None);
        };
        if from < tape.dropped {
            return Err(Dropped);
        }
        Ok(Some(Player {
            number: tape.number,
            news: tape.news.subscribe(),
            tapes: Arc::clone(self),
            name,
            at: from,
        }))
    }

    /// What becomes of the tapes of an owner that `wanted` names, the oldest first.
    pub(super) fn look_up(&self, owner: &str, wanted: impl Fn(&str) -> bool) -> Vec<Status> {
        let mut shelf = self.lock();
        shelf.sweep();
        let found = shelf
            .tapes
            .iter()
            .filter(|(name, _)| name.owner == owner && wanted(&name.conversation));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(_, tape)| tape.number);
        let status = |(name, tape): (&Name, &Tape)| Status {
            conversation: name.conversation.clone(),
            total_bytes: tape.total(),
            started: seconds(tape.started),
            completed: tape.ended.map(|(_, time)| seconds(time)),
        };
        found.into_iter().map(status).collect()
    }

    /// Removes a tape; what records it is told to stop.
    pub(super) fn remove(&self, name: &Name) {
        self.lock().remove(name);
    }

    /// Removes tapes whose time is over, when that of one that ends now is.
    pub(super) async fn sweep_later(self: Arc<Self>) {
        sleep(KEPT_FOR).await;
        self.lock().sweep();
    }
}

/// Writes a tape, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    tapes: Arc<Tapes>,
    name: Name,
    number: u64,
    gone: oneshot::Receiver<()>,
}

impl Recorder {
    /// Goes on with these bytes.
    pub(super) fn add(&self, bytes: &[u8]) {
        self.tapes.lock().add(&self.name, self.number, bytes);
    }

    /// Waits until nobody wants the tape any more. Is not to be asked again afterwards.
    pub(super) async fn stopped(&mut self) {
        // Nothing is ever sent: the sender goes with the tape.
        let _ = (&mut self.gone).await;
    }

    /// The tape is not to be, since nothing came of the answer.
    pub(super) fn discard(self) {
        let mut shelf = self.tapes.lock();
        if shelf.tape(&self.name, self.number).is_some() {
            shelf.remove(&self.name);
        }
    }

    /// All tapes.
    pub(super) fn tapes(&self) -> Arc<Tapes> {
        Arc::clone(&self.tapes)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut shelf = self.tapes.lock();
        if let Some(tape) = shelf.tape(&self.name, self.number) {
            tape.ended = Some((Instant::now(), SystemTime::now()));
            tape.held.shrink_to_fit();
            tape.news.send_replace(());
        }
    }
}

/// The bytes that are asked for are not held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped;

/// Plays a tape, and goes on as it grows.
#[derive(Debug)]
pub(super) struct Player {
    tapes: Arc<Tapes>,
    name: Name,
    number: u64,
    at: usize,
    news: watch::Receiver<()>,
}

enum Heard {
    Bytes(Bytes),
    Nothing,
    End,
}

impl Player {
    /// What comes next; none at the end, or when the tape was removed.
    ///
    /// # Errors
    /// It was dropped before it was played.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Dropped>> {
        loop {
            self.news.borrow_and_update();
            match self.hear() {
                Err(dropped) => return Some(Err(dropped)),
                Ok(Heard::End) => return None,
                Ok(Heard::Bytes(bytes)) => {
                    self.at += bytes.len();
                    return Some(Ok(bytes));
                }
                Ok(Heard::Nothing) => self.news.changed().await.ok()?,
            }
        }
    }

    fn hear(&self) -> Result<Heard, Dropped> {
        let mut shelf = self.tapes.lock();
        let Some(tape) = shelf.tape(&self.name, self.number) else {
            return Ok(Heard::End);
        };
        let from = self.at.checked_sub(tape.dropped).ok_or(Dropped)?;
        let rest = tape.held.len().saturating_sub(from);
        Ok(match (rest, tape.ended) {
            (0, Some(_)) => Heard::End,
            (0, None) => Heard::Nothing,
            (rest, _) => {
                let piece = tape.held.range(from..from + rest.min(PIECE));
                Heard::Bytes(piece.copied().collect())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(owner: &str, conversation: &str) -> Name {
        Name {
            owner: owner.to_owned(),
            conversation: conversation.to_owned(),
        }
    }

    fn all(tapes: &Tapes, owner: &str) -> Vec<Status> {
        tapes.look_up(owner, |_| true)
    }

    async fn played(player: &mut Player) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Some(Ok(bytes)) = player.next().await {
            heard.extend_from_slice(&bytes);
        }
        heard
    }

    #[tokio::test]
    async fn a_tape_is_played_from_anywhere_and_followed_to_its_end() {
        let tapes = Arc::new(Tapes::default());
        let recorder = tapes.record(name("a", "c")).unwrap();
        recorder.add(b"one ");
        let player = |from| tapes.play(name("a", "c"), from).unwrap().unwrap();
        let mut whole = player(0);
        assert_eq!(whole.next().await.unwrap().unwrap(), "one ");
        let (mut middle, mut ahead) = (player(2), player(6));
        let playing = tokio::spawn(async move { played(&mut whole).await });
        recorder.add(b"two ");
        tokio::task::yield_now().await;
        recorder.add(b"three");
        drop(recorder);
        assert_eq!(playing.await.unwrap(), b"two three");
        assert_eq!(played(&mut middle).await, b"e two three");
        assert_eq!(played(&mut ahead).await, b"o three");
        assert_eq!(played(&mut player(13)).await, b"");
        assert_eq!(played(&mut player(99)).await, b"");
        let status = &all(&tapes, "a")[0];
        assert_eq!(
            (status.total_bytes, status.conversation.as_str()),
            (13, "c")
        );
        assert!(status.completed.unwrap() >= status.started);
    }

    #[tokio::test]
    async fn owners_have_their_own() {
        let tapes = Arc::new(Tapes::default());
        let mut recorder = tapes.record(name("a", "c")).unwrap();
        assert!(tapes.play(name("b", "c"), 0).unwrap().is_none());
        assert!(all(&tapes, "b").is_empty());
        tapes.remove(&name("b", "c"));
        assert_eq!(all(&tapes, "a").len(), 1);
        tapes.remove(&name("a", "c"));
        recorder.stopped().await;
        assert!(all(&tapes, "a").is_empty());
    }

    #[tokio::test]
    async fn a_name_that_is_taken_again_stops_the_first() {
        let tapes = Arc::new(Tapes::default());
        let mut first = tapes.record(name("a", "c")).unwrap();
        first.add(b"old");
        let mut player = tapes.play(name("a", "c"), 3).unwrap().unwrap();
        let second = tapes.record(name("a", "c")).unwrap();
        first.stopped().await;
        // What the first still says goes nowhere, and its end is not the second's.
        first.add(b"more");
        drop(first);
        assert!(player.next().await.is_none());
        second.add(b"new");
        let status = &all(&tapes, "a")[0];
        assert_eq!((status.total_bytes, status.completed), (3, None));
        second.discard();
        assert!(all(&tapes, "a").is_empty());
        assert_eq!(tapes.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_tape_forgets_its_beginning() {
        let tapes = Arc::new(Tapes::default());
        let recorder = tapes.record(name("a", "c")).unwrap();
        let mut player = tapes.play(name("a", "c"), 0).unwrap().unwrap();
        recorder.add(&vec![1; LONGEST]);
        recorder.add(&[2; 10]);
        assert_eq!(player.next().await, Some(Err(Dropped)));
        assert_eq!(tapes.play(name("a", "c"), 9).unwrap_err(), Dropped);
        let mut rest = tapes.play(name("a", "c"), 10).unwrap().unwrap();
        recorder.add(&vec![3; LONGEST + 5]);
        assert_eq!(rest.next().await, Some(Err(Dropped)));
        let total = LONGEST * 2 + 15;
        assert_eq!(all(&tapes, "a")[0].total_bytes, total);
        let mut rest = tapes
            .play(name("a", "c"), total - LONGEST)
            .unwrap()
            .unwrap();
        drop(recorder);
        assert_eq!(played(&mut rest).await, vec![3; LONGEST]);
        assert_eq!(tapes.lock().bytes, LONGEST);
    }

    #[tokio::test]
    async fn there_are_only_so_many_and_so_much() {
        let tapes = Arc::new(Tapes::default());
        let named = |index: usize| name("a", &index.to_string());
        let mut running: Vec<Recorder> = (0..OF_OWNER)
            .map(|index| tapes.record(named(index)).unwrap())
            .collect();
        assert!(matches!(
            tapes.record(name("a", "x")),
            Err(Failure::Busy { .. })
        ));
        assert!(tapes.record(name("b", "x")).is_ok());
        running.remove(5);
        running.push(tapes.record(name("a", "x")).unwrap());
        assert!(tapes.play(named(5), 0).unwrap().is_none());

        let whole = vec![0; LONGEST];
        for recorder in &running {
            recorder.add(&whole);
        }
        assert_eq!(tapes.lock().bytes, BYTES);
        // What ended goes before anything that runs is cut.
        let ended = running.remove(0);
        let ended_name = ended.name.clone();
        drop(ended);
        let last = running.last().unwrap();
        last.add(&[1; 100]);
        assert!(tapes.play(ended_name, 0).unwrap().is_none());
        let held: usize = tapes
            .lock()
            .tapes
            .values()
            .map(|tape| tape.held.len())
            .sum();
        assert_eq!(tapes.lock().bytes, held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tape_goes_some_time_after_its_end() {
        let tapes = Arc::new(Tapes::default());
        let recorder = tapes.record(name("a", "c")).unwrap();
        recorder.add(b"x");
        sleep(KEPT_FOR * 2).await;
        assert_eq!(all(&tapes, "a").len(), 1);
        drop(recorder);
        let sweeping = tokio::spawn(Arc::clone(&tapes).sweep_later());
        sleep(KEPT_FOR - Duration::from_secs(1)).await;
        assert_eq!(all(&tapes, "a").len(), 1);
        sweeping.await.unwrap();
        let shelf = tapes.lock();
        assert!(shelf.tapes.is_empty() && shelf.bytes == 0);
    }
}
