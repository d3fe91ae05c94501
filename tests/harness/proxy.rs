//! A road between two TCP ends on which bytes can be late, stuck, or not come through at all, each direction for itself. What is stuck
//! comes later, as after a retransmission: TCP loses no byte of a connection that lives. Needs no rights on any machine.

use std::iter::Sum;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// A lost packet is sent again after about this time, and everything behind it waits.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Pieces under way in one direction of one connection; beyond it the sender meets a full window.
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 16 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How one direction of a road is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// Each piece arrives so much later.
    pub delay: Duration,
    /// Of a thousand pieces so many are lost and sent again.
    pub lost_of_1000: u64,
    /// Nothing arrives.
    pub cut: bool,
}

/// The two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weathers {
    /// To the end that listens behind the road.
    pub there: Weather,
    /// And back.
    pub back: Weather,
}

/// Ends with its handle, and every connection on it.
pub struct Proxy {
    weather: watch::Sender<Weathers>,
    pieces: Arc<Counts>,
    listening: SocketAddr,
    runtime: Option<Runtime>,
}

/// What the weather did to pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pieces {
    pub passed: u64,
    /// Delayed.
    pub late: u64,
    /// Lost once, and sent again.
    pub lost: u64,
    /// By a cut.
    pub held: u64,
}

impl Sum for Pieces {
    fn sum<I: Iterator<Item = Self>>(pieces: I) -> Self {
        pieces.fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            late: sum.late + one.late,
            lost: sum.lost + one.lost,
            held: sum.held + one.held,
        })
    }
}

#[derive(Debug, Default)]
struct Counts {
    passed: AtomicU64,
    late: AtomicU64,
    lost: AtomicU64,
    held: AtomicU64,
}

impl Proxy {
    /// A road from `listen` (`HOST:PORT`, port 0: any) to `target`. Connections are made as they are asked for.
    pub fn start(listen: &str, target: &str, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(listen))
            .unwrap_or_else(|error| panic!("cannot listen on {listen}: {error}"));
        let listening = listener.local_addr().expect("it listens");
        let weather = watch::Sender::new(Weathers::default());
        let pieces = Arc::new(Counts::default());
        let chance = Chance(Arc::new(Mutex::new(seed)));
        runtime.spawn(accept(
            listener,
            target.to_owned(),
            weather.subscribe(),
            Arc::clone(&pieces),
            chance,
        ));
        Self { weather, pieces, listening, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening
    }

    /// From now on, also for what is under way.
    pub fn set(&self, weathers: Weathers) {
        self.weather.send_replace(weathers);
    }

    /// What became of all pieces so far.
    pub fn counts(&self) -> Pieces {
        let Counts { passed, late, lost, held } = &*self.pieces;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Pieces { passed: count(passed), late: count(late), lost: count(lost), held: count(held) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Draws; the same seed draws the same, in the order of asking.
#[derive(Clone)]
struct Chance(Arc<Mutex<u64>>);

impl Chance {
    fn of_1000(&self, chances: u64) -> bool {
        let mut state = self.0.lock().expect("no draw panics");
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % 1000 < chances
    }
}

#[derive(Clone, Copy)]
enum Direction {
    There,
    Back,
}

impl Direction {
    fn of(self, weathers: &Weathers) -> Weather {
        match self {
            Self::There => weathers.there,
            Self::Back => weathers.back,
        }
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    weather: watch::Receiver<Weathers>,
    pieces: Arc<Counts>,
    chance: Chance,
) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let (target, weather) = (target.clone(), weather.clone());
        let (pieces, chance) = (Arc::clone(&pieces), chance.clone());
        tokio::spawn(async move {
            // Nobody there: the near end is closed, as if it was refused.
            let Ok(Ok(far)) = timeout(CONNECT_MAX, TcpStream::connect(target)).await else {
                return;
            };
            for end in [&near, &far] {
                let _best_effort = end.set_nodelay(true);
            }
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let there = Road {
                direction: Direction::There,
                weather: weather.clone(),
                pieces: Arc::clone(&pieces),
                chance: chance.clone(),
            };
            let back = Road { direction: Direction::Back, weather, pieces, chance };
            // One end is over: so is the other.
            tokio::select! {
                () = there.carry(near_in, far_out) => {}
                () = back.carry(far_in, near_out) => {}
            }
        });
    }
}

/// One direction of one connection.
struct Road {
    direction: Direction,
    weather: watch::Receiver<Weathers>,
    pieces: Arc<Counts>,
    chance: Chance,
}

impl Road {
    async fn carry(mut self, from: OwnedReadHalf, to: OwnedWriteHalf) {
        let (into, out) = mpsc::channel(PIECES_MAX);
        let (weather, chance, pieces) =
            (self.weather.clone(), self.chance.clone(), Arc::clone(&self.pieces));
        let direction = self.direction;
        tokio::join!(take(from, into, direction, weather, chance, pieces), self.give(out, to));
    }

    async fn give(&mut self, mut out: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
        while let Some((at, piece)) = out.recv().await {
            sleep_until(at).await;
            let direction = self.direction;
            if direction.of(&self.weather.borrow()).cut {
                self.pieces.held.fetch_add(1, Ordering::Relaxed);
                if self.weather.wait_for(|now| !direction.of(now).cut).await.is_err() {
                    return;
                }
            }
            if to.write_all(&piece).await.is_err() {
                return;
            }
            self.pieces.passed.fetch_add(1, Ordering::Relaxed);
        }
        let _gone_already = to.shutdown().await;
    }
}

async fn take(
    mut from: OwnedReadHalf,
    into: mpsc::Sender<(Instant, Vec<u8>)>,
    direction: Direction,
    weather: watch::Receiver<Weathers>,
    chance: Chance,
    pieces: Arc<Counts>,
) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let now = direction.of(&weather.borrow());
        let mut at = Instant::now() + now.delay;
        if !now.delay.is_zero() {
            pieces.late.fetch_add(1, Ordering::Relaxed);
        }
        if chance.of_1000(now.lost_of_1000) {
            pieces.lost.fetch_add(1, Ordering::Relaxed);
            at += RETRANSMISSION;
        }
        if into.send((at, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}
