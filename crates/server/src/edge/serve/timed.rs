//! A socket that gives up on peers that are too slow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::phase::{Doing, Phase};

/// How long a socket waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write_stall: Duration,
}

/// A socket with deadlines. Those for reading depend on the phase; hyper's own would also end connections that only
/// rest between requests.
pub(super) struct Timed<T> {
    inner: T,
    phase: Arc<Phase>,
    times: Times,
    read: Pin<Box<Sleep>>,
    /// The phase for which the timer runs.
    read_for: Option<u64>,
    write: Option<Pin<Box<Sleep>>>,
}

impl<T> Timed<T> {
    pub(super) fn new(inner: T, phase: Arc<Phase>, times: Times) -> Self {
        Self {
            inner,
            phase,
            times,
            read: Box::pin(sleep(times.idle)),
            read_for: None,
            write: None,
        }
    }

    fn arm(&mut self, doing: Doing, number: u64) {
        let time = if doing == Doing::Head {
            self.times.head
        } else {
            self.times.idle
        };
        self.read.as_mut().reset(Instant::now() + time);
        self.read_for = Some(number);
    }

    /// Ready when the peer has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let (doing, number) = self.phase.now();
            // While there is an answer to give, silence is fine. The timer runs on all the same: nothing else would
            // look again once the answer is given.
            if self.read_for.is_none() {
                self.arm(doing, number);
            }
            ready!(self.read.as_mut().poll(context));
            if doing != Doing::Busy && self.read_for == Some(number) {
                return Poll::Ready(());
            }
            self.read_for = None;
        }
    }

    /// A write that cannot go on has so much time; one that goes on has it anew.
    fn watch<R>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.write = None;
            return result;
        }
        let stall = self.times.write_stall;
        let timer = self.write.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            if buffer.filled().len() > before && this.phase.now().0 == Doing::Idle {
                this.phase.begin(Doing::Head);
                let (doing, number) = this.phase.now();
                this.arm(doing, number);
            }
            return Poll::Ready(result);
        }
        ready!(this.poll_silence(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, data);
        self.watch(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, data);
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TIMES: Times = Times {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(300),
        write_stall: Duration::from_secs(60),
    };

    fn timed(phase: &Arc<Phase>) -> (tokio::io::DuplexStream, Timed<tokio::io::DuplexStream>) {
        let (client, server) = duplex(16);
        (client, Timed::new(server, Arc::clone(phase), TIMES))
    }

    async fn silence(socket: &mut Timed<tokio::io::DuplexStream>) -> u64 {
        let begin = Instant::now();
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_rest_and_a_head_may_not() {
        let phase = Arc::new(Phase::default());
        let (mut client, mut socket) = timed(&phase);
        assert_eq!(silence(&mut socket).await, 300);

        let (mut second, mut socket) = timed(&phase);
        second.write_all(b"G").await.unwrap();
        socket.read_u8().await.unwrap();
        assert_eq!(phase.now().0, Doing::Head);
        assert_eq!(silence(&mut socket).await, 10);
        client.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_drop_now_and_then_does_not_stretch_a_head() {
        let phase = Arc::new(Phase::default());
        let (mut client, mut socket) = timed(&phase);
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let begin = Instant::now();
        while socket.read_u8().await.is_ok() {}
        assert_eq!(begin.elapsed().as_secs(), 10);
        drop(socket);
        drip.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_fine_while_there_is_an_answer_to_give() {
        let phase = Arc::new(Phase::default());
        let (_client, mut socket) = timed(&phase);
        phase.begin(Doing::Busy);
        let end = Arc::clone(&phase);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            end.begin(Doing::Idle);
        });
        // Looked at every 300 s: at 1200 the rest has begun, and it has its own 300.
        assert_eq!(silence(&mut socket).await, 1500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_stalls_fails_and_one_that_crawls_goes_on() {
        let phase = Arc::new(Phase::default());
        let (mut client, mut socket) = timed(&phase);
        let reader = tokio::spawn(async move {
            let mut piece = [0; 16];
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                client.read_exact(&mut piece).await.unwrap();
            }
            client
        });
        let begin = Instant::now();
        let error = socket.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(
            (error.kind(), begin.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, 310)
        );
        drop(reader.await.unwrap());
    }
}
