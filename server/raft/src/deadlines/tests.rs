//! The task around the schedule: what arrives is heeded in the right order, and everybody gets an answer.

use std::sync::{Mutex, RwLock};

use conclave_machine::{
    Command, Context, Event, Labels, Name, Open, Outcome, Refusal, Revision, Secret, Term,
};
use tokio::sync::Semaphore;

use super::*;
use crate::answer::LeaderHint;
use crate::clock::ManualClock;
use crate::keepalive::Losses;
use crate::schedule::STEP;

const TERM: Term = Term(3);
const ELECTION: Duration = Duration::from_millis(600);
const PERIOD: Duration = Duration::from_millis(11_000);

/// A machine behind a majority that does what the test says.
struct Scripted {
    machine: RwLock<Machine>,
    hub: Hub,
    /// A confirmation takes one permit; closed: this node was deposed.
    confirmations: Semaphore,
    /// A proposal takes one permit; closed: this node was deposed.
    proposals: Semaphore,
    /// The confirmations that were started, by the revision they asked about.
    started: Mutex<Vec<Revision>>,
}

const PLENTY: usize = 1_000_000;

impl Scripted {
    fn apply(&self, command: Command) -> Decided {
        let mut events: Vec<Event> = Vec::new();
        let context = Context { term: TERM, stamp_ms: 0 };
        let (revision, outcome) =
            self.machine.write().expect("unpoisoned").apply(&context, command, &mut events);
        self.hub.deliver(revision, None, outcome.clone(), &events);
        Decided { revision, outcome }
    }

    fn open(&self, secret: u128, ttl_ms: u64) -> SessionKey {
        let (name, labels) = (Name::new("client").expect("a good name"), Labels::default());
        let secret = Secret(secret);
        let open = Open { secret, ttl_ms, lock_delay_ms: 0, name, labels };
        match self.apply(Command::Open(open)).outcome {
            Outcome::Opened { session: id, epoch, .. } => SessionKey { id, secret, epoch },
            other => panic!("not opened: {other:?}"),
        }
    }

    fn lives(&self, key: SessionKey) -> bool {
        self.look(|machine| machine.authenticate(&key).is_ok())
    }
}

impl Quorum for Scripted {
    fn look<T>(&self, query: impl FnOnce(&Machine) -> T) -> T {
        query(&self.machine.read().expect("unpoisoned"))
    }

    async fn confirm(&self) -> Result<Confirmed, NotLeader> {
        let revision = self.look(Machine::revision);
        self.started.lock().expect("unpoisoned").push(revision);
        match self.confirmations.acquire().await {
            Ok(permit) => {
                permit.forget();
                Ok(Confirmed { term: TERM, revision })
            }
            Err(_) => Err(NotLeader { leader: None }),
        }
    }

    async fn propose(&self, command: Command) -> Result<Decided, ProposeError> {
        match self.proposals.acquire().await {
            Ok(permit) => {
                permit.forget();
                Ok(self.apply(command))
            }
            Err(_) => Err(ProposeError::Unknown { leader: None }),
        }
    }
}

struct Stage {
    quorum: Arc<Scripted>,
    clock: ManualClock,
    leadership: watch::Sender<Leadership>,
    deadlines: Deadlines,
    task: JoinHandle<()>,
}

fn leadership(leading: bool, leader: Option<LeaderHint>) -> Leadership {
    Leadership { term: TERM, leading, serving: 1, leader }
}

impl Stage {
    fn following() -> Self {
        let manual = ManualClock::new();
        let mut stage = Self::with_clock(Clock::Manual(manual.clone()), false);
        stage.clock = manual;
        stage
    }

    fn with_clock(clock: Clock, leading: bool) -> Self {
        let hub = Hub::new();
        hub.leadership_gained();
        let quorum = Arc::new(Scripted {
            machine: RwLock::new(Machine::new()),
            hub: hub.clone(),
            confirmations: Semaphore::new(PLENTY),
            proposals: Semaphore::new(PLENTY),
            started: Mutex::default(),
        });
        let (leadership, receiver) = watch::channel(leadership(leading, None));
        let (deadlines, task) = Deadlines::start(clock, quorum.clone(), hub, receiver, ELECTION);
        Self { quorum, clock: ManualClock::new(), leadership, deadlines, task }
    }

    async fn leading() -> Self {
        let stage = Self::following();
        stage.leadership.send_replace(leadership(true, None));
        settle().await;
        stage
    }

    /// Opens a session whose period counts from now.
    async fn open_counted(&self) -> SessionKey {
        let key = self.quorum.open(1, 10_000);
        self.pass(STEP).await;
        key
    }

    async fn keep_alive(&self, key: SessionKey) -> Answer {
        self.deadlines.keep_alive(key, LossNumber(0)).await
    }

    /// A keepalive whose answer is fetched later.
    fn ask(&self, key: SessionKey) -> JoinHandle<Answer> {
        let deadlines = self.deadlines.clone();
        tokio::spawn(async move { deadlines.keep_alive(key, LossNumber(0)).await })
    }

    async fn pass(&self, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.clock.advance(step);
            settle().await;
            left -= step;
        }
    }
}

/// Lets every task run until it waits: all live on this thread, and none takes that many turns.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

fn hint() -> LeaderHint {
    LeaderHint {
        id: 2,
        name: "b".into(),
        client_address: "10.0.0.2:7420".into(),
        peer_address: "10.0.0.2:7421".into(),
    }
}

#[tokio::test]
async fn a_keepalive_is_acknowledged_with_the_confirmed_revision() {
    let stage = Stage::leading().await;
    let ann = stage.quorum.open(1, 10_000);
    let ack = KeepAliveAck { revision: Revision(1), losses: Losses::default() };
    assert_eq!(stage.keep_alive(ann).await, Ok(ack));
}

#[tokio::test]
async fn a_session_is_kept_alive_by_the_task_and_expires_without() {
    let stage = Stage::leading().await;
    let (ann, bob) = (stage.quorum.open(1, 10_000), stage.quorum.open(2, 10_000));
    settle().await;
    for _ in 0..6 {
        assert!(stage.keep_alive(ann).await.is_ok());
        stage.pass(Duration::from_secs(2)).await;
    }
    assert!(stage.quorum.lives(ann));
    assert!(!stage.quorum.lives(bob));
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.keep_alive(bob).await, refused);
}

#[tokio::test]
async fn a_confirmation_that_began_before_a_keepalive_does_not_serve_it() {
    let stage = Stage::leading().await;
    let (ann, bob) = (stage.quorum.open(1, 10_000), stage.quorum.open(2, 10_000));
    stage.quorum.confirmations.forget_permits(PLENTY);
    let first = stage.ask(ann);
    settle().await;
    let second = stage.ask(bob);
    settle().await;
    stage.quorum.confirmations.add_permits(1);
    settle().await;
    assert!(first.is_finished());
    assert!(!second.is_finished());
    assert_eq!(stage.quorum.started.lock().expect("unpoisoned").len(), 2);
    stage.quorum.confirmations.add_permits(1);
    assert!(second.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_slow_majority_keeps_nobody_waiting_for_the_next_confirmation() {
    let stage = Stage::leading().await;
    let keys: Vec<_> = (1..=20_000).map(|secret| stage.quorum.open(secret, 10_000)).collect();
    settle().await;
    stage.quorum.confirmations.forget_permits(PLENTY);
    let asked: Vec<_> = keys.iter().map(|key| stage.ask(*key)).collect();
    stage.pass(ELECTION / 2).await;
    assert_eq!(stage.quorum.started.lock().expect("unpoisoned").len(), 1);
    stage.quorum.confirmations.add_permits(1);
    let waiting = || asked.iter().filter(|answer| !answer.is_finished()).count();
    // Each of the tasks that were answered takes a turn as well.
    for _ in 0..1000 {
        settle().await;
        if waiting() == 0 {
            break;
        }
    }
    assert_eq!(waiting(), 0, "one confirmation serves them all");
    for answer in asked {
        assert!(answer.await.expect("no panic").is_ok());
    }
}

#[tokio::test]
async fn an_acknowledgement_in_a_feed_stands_behind_what_happened_before_it() {
    let stage = Stage::leading().await;
    let ann = stage.quorum.open(1, 10_000);
    let mut feed = stage.quorum.hub.subscribe(ann.id);
    stage.deadlines.keep_alive_to(ann, LossNumber(0), feed.sender(), 7);
    stage.quorum.apply(Command::Close { key: ann });
    let Some(Notice::Event { revision, event: Event::SessionEnded { .. }, .. }) = feed.recv().await
    else {
        panic!("the end comes first")
    };
    let Some(Notice::KeptAlive { tag: 7, answer }) = feed.recv().await else {
        panic!("then the answer")
    };
    assert_eq!(answer, Err(KeepAliveError::Refused(Refusal::SessionExpired)));
    assert_eq!(revision, Revision(2));
}

#[tokio::test]
async fn keepalives_in_the_queue_go_before_an_expiry() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.pass(PERIOD - STEP).await;
    // The deadline and the keepalive are there when the task looks next.
    stage.clock.advance(STEP);
    let feed = stage.quorum.hub.subscribe(ann.id);
    stage.deadlines.keep_alive_to(ann, LossNumber(0), feed.sender(), 1);
    settle().await;
    assert!(stage.quorum.lives(ann));
    stage.pass(PERIOD - STEP).await;
    assert!(stage.quorum.lives(ann));
    stage.pass(2 * STEP).await;
    assert!(!stage.quorum.lives(ann));
}

#[tokio::test]
async fn a_keepalive_behind_an_expiry_in_flight_waits_for_its_decision() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.quorum.proposals.forget_permits(PLENTY);
    stage.pass(PERIOD).await;
    let held = stage.ask(ann);
    stage.pass(10 * STEP).await;
    assert!(!held.is_finished());
    stage.quorum.proposals.add_permits(1);
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(held.await.expect("no panic"), refused);
}

#[tokio::test]
async fn who_is_held_back_hears_of_the_end_of_the_leadership() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.quorum.proposals.forget_permits(PLENTY);
    stage.pass(PERIOD).await;
    let held = stage.ask(ann);
    settle().await;
    stage.leadership.send_replace(leadership(false, Some(hint())));
    let sent_on = Err(KeepAliveError::NotLeader { leader: Some(hint()) });
    assert_eq!(held.await.expect("no panic"), sent_on);
    assert!(stage.quorum.lives(ann));
}

#[tokio::test]
async fn a_follower_names_the_leader() {
    let stage = Stage::following();
    let ann = stage.quorum.open(1, 10_000);
    assert_eq!(stage.keep_alive(ann).await, Err(KeepAliveError::NotLeader { leader: None }));
    stage.leadership.send_replace(leadership(false, Some(hint())));
    let sent_on = Err(KeepAliveError::NotLeader { leader: Some(hint()) });
    assert_eq!(stage.keep_alive(ann).await, sent_on);
}

#[tokio::test]
async fn a_leader_without_a_majority_expires_nobody_and_acknowledges_once_it_is_back() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.quorum.confirmations.forget_permits(PLENTY);
    let asked = stage.ask(ann);
    stage.pass(2 * PERIOD).await;
    assert!(!asked.is_finished());
    assert!(stage.quorum.lives(ann));
    // The majority is back: a full period from there.
    stage.quorum.confirmations.add_permits(PLENTY);
    assert!(asked.await.expect("no panic").is_ok());
    stage.pass(PERIOD - STEP).await;
    assert!(stage.quorum.lives(ann));
    stage.pass(4 * STEP).await;
    assert!(!stage.quorum.lives(ann));
}

#[tokio::test]
async fn a_deposed_leader_sends_everybody_on() {
    let stage = Stage::leading().await;
    let ann = stage.quorum.open(1, 10_000);
    stage.quorum.confirmations.close();
    assert_eq!(stage.keep_alive(ann).await, Err(KeepAliveError::NotLeader { leader: None }));
}

#[tokio::test]
async fn a_process_that_stood_still_extends_everyone_first() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.clock.advance(5 * PERIOD);
    settle().await;
    assert!(stage.quorum.lives(ann));
    stage.pass(PERIOD - STEP).await;
    assert!(stage.quorum.lives(ann));
    stage.pass(2 * STEP).await;
    assert!(!stage.quorum.lives(ann));
    assert_eq!(stage.deadlines.counters().extensions.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_leader_that_was_elected_anew_starts_anew() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.pass(PERIOD - STEP).await;
    // The node does not see the term in which it followed.
    stage.leadership.send_replace(Leadership { term: Term(5), ..leadership(true, None) });
    settle().await;
    stage.pass(PERIOD - STEP).await;
    assert!(stage.quorum.lives(ann));
}

#[tokio::test]
async fn a_leadership_lost_and_found_again_between_two_turns_starts_anew() {
    let stage = Stage::leading().await;
    let ann = stage.open_counted().await;
    stage.quorum.confirmations.forget_permits(PLENTY);
    let asked = stage.ask(ann);
    stage.pass(ELECTION).await;
    // In one term; the task sees the end of it only. Everybody else was told that this node leads no longer.
    stage.leadership.send_replace(leadership(false, None));
    stage.leadership.send_replace(Leadership { serving: 2, ..leadership(true, None) });
    settle().await;
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert!(asked.is_finished(), "it was asked in another leadership");
    assert_eq!(asked.await.expect("no panic"), sent_on);
    stage.quorum.confirmations.add_permits(PLENTY);
    stage.pass(PERIOD - STEP).await;
    assert!(stage.quorum.lives(ann), "a full period from the second gain");
    stage.pass(2 * STEP).await;
    assert!(!stage.quorum.lives(ann));
}

#[tokio::test]
async fn ten_thousand_sessions_that_expire_together_leave_the_others_alive() {
    let stage = Stage::leading().await;
    let dead: Vec<_> = (1..=10_000).map(|secret| stage.quorum.open(secret, 10_000)).collect();
    let live = stage.quorum.open(10_001, 10_000);
    settle().await;
    stage.pass(PERIOD - STEP).await;
    assert!(stage.keep_alive(live).await.is_ok());
    let mut rounds = 0;
    while dead.iter().any(|key| stage.quorum.lives(*key)) {
        stage.clock.advance(STEP);
        assert!(stage.keep_alive(live).await.is_ok());
        rounds += 1;
        assert!(rounds < 1000, "the expiry stands still");
    }
    assert!(stage.quorum.lives(live));
}

#[tokio::test]
async fn the_task_ends_with_its_last_handle() {
    let stage = Stage::leading().await;
    let Stage { deadlines, task, .. } = stage;
    drop(deadlines);
    assert!(task.await.is_ok());
}

#[tokio::test]
async fn the_end_of_the_node_answers_whoever_waits() {
    let stage = Stage::leading().await;
    let ann = stage.quorum.open(1, 10_000);
    stage.quorum.confirmations.forget_permits(PLENTY);
    let asked = stage.ask(ann);
    settle().await;
    let Stage { deadlines, task, leadership, .. } = stage;
    drop(leadership);
    assert!(task.await.is_ok());
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(asked.await.expect("no panic"), sent_on);
    assert_eq!(deadlines.keep_alive(ann, LossNumber(0)).await, Err(KeepAliveError::Stopped));
    assert_eq!(deadlines.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn too_many_keepalives_are_refused_and_the_others_served() {
    let stage = Stage::leading().await;
    let ann = stage.quorum.open(1, 10_000);
    stage.deadlines.waiting.fetch_add(KEEPALIVES_MAX, Ordering::Relaxed);
    assert_eq!(stage.keep_alive(ann).await, Err(KeepAliveError::Overloaded));
    stage.deadlines.waiting.fetch_sub(1, Ordering::Relaxed);
    assert!(stage.keep_alive(ann).await.is_ok());
    assert_eq!(stage.deadlines.waiting.load(Ordering::Relaxed), KEEPALIVES_MAX - 1);
}

#[tokio::test]
async fn on_the_real_clock_a_session_expires_and_not_early() {
    let begun = std::time::Instant::now();
    let stage = Stage::with_clock(Clock::real(), true);
    let ann = stage.quorum.open(1, 200);
    let mut feed = stage.quorum.hub.subscribe(ann.id);
    let notice = feed.recv().await;
    assert!(
        matches!(notice, Some(Notice::Event { event: Event::SessionEnded { .. }, .. })),
        "{notice:?}"
    );
    assert!(begun.elapsed() >= Duration::from_millis(220));
}
