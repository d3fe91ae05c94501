//! What the tasks do, again and again.

use std::time::Duration;

use conclave_client::{Error, Grant, MutexGuard, Progress, Refusal, Session, Token, Turn, Want};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::client::Task;
use crate::facts::{Fact, Share, now};
use crate::outside::{FencedSet, OpenSet};

/// So many of the semaphore.
pub(crate) const PERMITS: u32 = 3;
const PARTIES: u32 = 2;
/// So many count a latch down before it opens.
const COUNTS: u64 = 2;
/// The names of what is in use for a short time begin with this.
pub(crate) const SMALL: &str = "small";
/// Seconds for which a name is in use; the clock is one for all.
const SMALL_SECONDS: u64 = 4;
const ONCE_SECONDS: u64 = 2;
const LATCH_SECONDS: u64 = 1;
/// Whoever asked while its name was in use has its answer by then.
const RETENTION: Duration = Duration::from_secs(300);

/// One kind of work; it says also how its objects are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// The set kept outside that checks tokens.
    Fenced,
    /// The one that does not. Not for a process that is stopped: who is stopped between its look at the guard and its write writes late.
    Open,
    /// A register of the cluster, guarded by a lock.
    Register,
    /// A lock held for long, with others behind.
    Long,
    Permits,
    ReadWrite,
    Election,
    Barrier,
    Counter,
    /// Several objects at once, also those of others.
    Several,
    /// Runs that one does for all.
    Once,
    Latch,
    /// A lock and a counter that are in use for a short time only, so that a search through all orders comes to an end.
    Small,
}

pub(crate) async fn run(work: Work, mut task: Task) {
    let mut kept = Vec::new();
    while !task.is_stopping() {
        let Some(session) = task.session().await else { continue };
        match work {
            Work::Fenced => fenced(&mut task, &session).await,
            Work::Open => open(&mut task, &session).await,
            Work::Register => register(&mut task, &session, &mut kept).await,
            Work::Long => long(&mut task, &session).await,
            Work::Permits => permits(&mut task, &session).await,
            Work::ReadWrite => read_write(&mut task, &session).await,
            Work::Election => election(&mut task, &session).await,
            Work::Barrier => barrier(&mut task, &session).await,
            Work::Counter => counter(&mut task, &session).await,
            Work::Several => several(&mut task, &session).await,
            Work::Once => once(&mut task, &session).await,
            Work::Latch => latch(&mut task, &session).await,
            Work::Small => small(&mut task, &session).await,
        }
        let pause = task.rng.below(15);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    task.close().await;
}

/// The lock of that name, with everything written down on the way.
async fn lock(task: &mut Task, session: &Session, name: &str) -> Option<(u64, MutexGuard)> {
    let op = task.next_op();
    let (progress, mut seen) = watch::channel(Progress::Asking);
    let mutex = session.mutex(name).progress(progress);
    task.tell(Fact::Asked { op, name: name.to_owned() });
    let mut locking = std::pin::pin!(mutex.lock());
    let mut queued = false;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut locking => break answer,
            Ok(()) = seen.changed() => {
                if !queued && *seen.borrow_and_update() != Progress::Asking {
                    queued = true;
                    task.tell(Fact::Queued { op });
                }
            }
        }
    };
    match answer {
        Ok(guard) => {
            task.granted(op, &guard, Share::Alone);
            Some((op, guard))
        }
        Err(error) => {
            task.failed(op, &error);
            None
        }
    }
}

async fn unlock(task: &Task, op: u64, guard: MutexGuard) {
    task.tell(Fact::Releasing { op });
    let answer = guard.release().await;
    task.released(op, &answer);
}

async fn fenced(task: &mut Task, session: &Session) {
    let Some((op, guard)) = lock(task, session, "fenced").await else { return };
    let set = FencedSet::new(&task.orders.folder, "fenced");
    let element = format!("{}/{op}", task.name);
    let token = guard.token().get();
    let pause = task.rng.below(6);
    let added = match set.read(token) {
        Ok(mut elements) => {
            task.hold(op, &guard, pause).await;
            elements.push(element.clone());
            set.write(token, elements)
        }
        Err(stale) => Err(stale),
    };
    task.tell(match added {
        Ok(()) => Fact::Added { op, set: "fenced".to_owned(), element },
        Err(_) => Fact::Fenced { op },
    });
    unlock(task, op, guard).await;
}

async fn open(task: &mut Task, session: &Session) {
    let Some((op, guard)) = lock(task, session, "open").await else { return };
    let set = OpenSet::new(&task.orders.folder, "open");
    let element = format!("{}/{op}", task.name);
    let mut elements = set.read();
    let pause = task.rng.below(6);
    task.hold(op, &guard, pause).await;
    elements.push(element.clone());
    // A fifth of the TTL lies between this look and the first grant to somebody else: time enough for the write.
    if task.believes(op, &guard) {
        set.write(elements);
        task.tell(Fact::Added { op, set: "open".to_owned(), element });
    }
    unlock(task, op, guard).await;
}

async fn register(task: &mut Task, session: &Session, kept: &mut Vec<Token>) {
    let Some((op, guard)) = lock(task, session, "register").await else { return };
    let token = guard.token();
    let register = session.register("register/value");
    let read = task.next_op();
    task.tell(Fact::Asked { op: read, name: "register/value".to_owned() });
    match register.get().await {
        Ok(Some(entry)) => {
            let token = entry.value.as_text().and_then(|text| text.parse().ok()).unwrap_or(0);
            task.tell(Fact::Read { op: read, version: entry.version.get(), token });
        }
        Ok(None) => task.tell(Fact::Read { op: read, version: 0, token: 0 }),
        Err(error) => task.failed(read, &error),
    }
    let write = task.next_op();
    task.tell(Fact::Asked { op: write, name: "register/value".to_owned() });
    match register.clone().guarded(&guard).set(token.to_string()).await {
        Ok(version) => {
            let (version, token) = (version.get(), token.get());
            task.tell(Fact::Wrote { op: write, version, token });
        }
        Err(error) => task.failed(write, &error),
    }
    task.tell(Fact::Releasing { op });
    let answer = guard.release().await;
    task.released(op, &answer);
    // What was surely given back is good for nothing any more.
    if answer.is_ok() {
        kept.push(token);
    }
    if kept.len() > 20 {
        let stale = kept[task.rng.index(kept.len())];
        kept.clear();
        let op = task.next_op();
        let old = session.register("register/value").guarded_by("register", stale);
        match old.set("stale").await {
            Err(Error::Refused(Refusal::Guard)) => task.tell(Fact::StaleRefused { op }),
            Ok(version) => {
                let what = format!("a write under the old token {stale} made version {version}");
                task.tell(Fact::Wrong { what });
            }
            Err(error) => task.failed(op, &error),
        }
    }
}

async fn long(task: &mut Task, session: &Session) {
    let Some((op, guard)) = lock(task, session, "long").await else { return };
    let half = task.rng.between(50, 400);
    task.hold(op, &guard, half).await;
    task.checks(&guard).await;
    task.hold(op, &guard, half).await;
    unlock(task, op, guard).await;
}

/// Holds it for some milliseconds.
async fn use_it(task: &mut Task, op: u64, grant: &Grant, share: Share) {
    task.granted(op, grant, share);
    let time = task.rng.below(10);
    task.hold(op, grant, time).await;
    task.tell(Fact::Releasing { op });
}

async fn permits(task: &mut Task, session: &Session) {
    let weight = task.rng.between(1, 2);
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "permits".to_owned() });
    let weight32 = u32::try_from(weight).expect("1 or 2");
    match session.semaphore("permits", PERMITS).acquire_many(weight32).await {
        Ok(permit) => {
            use_it(task, op, &permit, Share::Permits(weight, u64::from(PERMITS))).await;
            let answer = permit.release().await;
            task.released(op, &answer);
        }
        Err(error) => task.failed(op, &error),
    }
}

async fn read_write(task: &mut Task, session: &Session) {
    let lock = session.rwlock("read-write");
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "read-write".to_owned() });
    let answer = if task.rng.below(3) == 0 {
        match lock.write().await {
            Ok(guard) => {
                use_it(task, op, &guard, Share::Alone).await;
                guard.release().await
            }
            Err(error) => return task.failed(op, &error),
        }
    } else {
        match lock.read().await {
            Ok(guard) => {
                use_it(task, op, &guard, Share::Shared).await;
                guard.release().await
            }
            Err(error) => return task.failed(op, &error),
        }
    };
    task.released(op, &answer);
}

async fn election(task: &mut Task, session: &Session) {
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "election".to_owned() });
    match session.election("election").campaign().await {
        Ok(leadership) => {
            task.granted(op, &leadership, Share::Alone);
            // What it says is for show; whether it was told makes no difference to who leads.
            let _ = leadership.proclaim(task.name.as_str()).await;
            let time = task.rng.below(40);
            task.hold(op, &leadership, time).await;
            task.tell(Fact::Releasing { op });
            let answer = leadership.resign().await;
            task.released(op, &answer);
        }
        Err(error) => task.failed(op, &error),
    }
}

async fn barrier(task: &mut Task, session: &Session) {
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "barrier".to_owned() });
    let wait = Duration::from_millis(task.rng.between(1, 300));
    match session.barrier("barrier", PARTIES).arrive_timeout(wait).await {
        Ok(Some(pass)) => {
            let generation = pass.generation.get();
            task.tell(Fact::Passed { op, generation, index: pass.index, parties: PARTIES });
        }
        Ok(None) => task.tell(Fact::Refused { op, why: "nobody came".to_owned() }),
        Err(error) => task.failed(op, &error),
    }
}

async fn counter(task: &mut Task, session: &Session) {
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "counter".to_owned() });
    match session.counter("counter").add(1).await {
        Ok(value) => task.tell(Fact::Counted { op, value }),
        Err(error) => task.failed(op, &error),
    }
}

/// One of a series of names.
fn name_now(series: &str, seconds: u64) -> String {
    format!("{series}/{}", now() / (seconds * 1_000_000_000))
}

async fn several(task: &mut Task, session: &Session) {
    let (mut wants, mut shares) = (Vec::new(), Vec::new());
    let which = task.rng.between(1, 15);
    for (bit, name) in [(1, "together/a"), (2, "together/b")] {
        if which & bit != 0 {
            wants.push(Want::mutex(name));
            shares.push((name.to_owned(), Share::Alone));
        }
    }
    if which & 4 != 0 {
        let (want, share) = match task.rng.below(3) {
            0 => (Want::write("read-write"), Share::Alone),
            _ => (Want::read("read-write"), Share::Shared),
        };
        wants.push(want);
        shares.push(("read-write".to_owned(), share));
    }
    if which & 8 != 0 {
        let weight = task.rng.between(1, 2);
        let weight32 = u32::try_from(weight).expect("1 or 2");
        wants.push(Want::permits("permits", PERMITS, weight32));
        shares.push(("permits".to_owned(), Share::Permits(weight, u64::from(PERMITS))));
    }
    let op = task.next_op();
    task.tell(Fact::Asked { op, name: "several".to_owned() });
    match session.acquire_all(wants).acquire().await {
        Ok(all) => {
            task.granted_all(op, &all, shares);
            let time = task.rng.below(10);
            task.hold(op, &all, time).await;
            task.tell(Fact::Releasing { op });
            let answer = all.release().await;
            task.released(op, &answer);
        }
        Err(error) => task.failed(op, &error),
    }
}

/// The result is the token of the run; some runs come to nothing.
async fn once(task: &mut Task, session: &Session) {
    let op = task.next_op();
    let name = name_now("once", ONCE_SECONDS);
    task.tell(Fact::Asked { op, name: name.clone() });
    match session.once(&name, RETENTION).turn().await {
        Ok(Turn::Done(value)) => {
            let token = value.as_text().and_then(|text| text.parse().ok()).unwrap_or(0);
            task.tell(Fact::Done { op, name, token, ran: false });
        }
        Ok(Turn::Run(run)) => {
            task.granted(op, &run, Share::Alone);
            let time = task.rng.below(20);
            task.hold(op, &run, time).await;
            task.tell(Fact::Releasing { op });
            let token = run.token().get();
            if task.rng.below(3) == 0 {
                let answer = run.release().await;
                return task.released(op, &answer);
            }
            match run.complete(token.to_string(), RETENTION).await {
                Ok(()) => task.tell(Fact::Done { op, name, token, ran: true }),
                Err(error) => task.failed(op, &error),
            }
        }
        Err(error) => task.failed(op, &error),
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Each task counts each latch down once.
async fn latch(task: &mut Task, session: &Session) {
    let name = name_now("latch", LATCH_SECONDS);
    if task.is_first_of(&name) {
        let latch = session.latch(&name);
        let op = task.next_op();
        task.tell(Fact::Asked { op, name: name.clone() });
        let counted = match latch.create(COUNTS).await {
            Ok(_) => latch.count_down_once(&task.name).await,
            Err(error) => Err(error),
        };
        match counted {
            Ok(state) => {
                let remaining = state.remaining;
                task.tell(Fact::CountedDown { op, name: name.clone(), remaining });
            }
            Err(error) => task.failed(op, &error),
        }
        match latch.wait_timeout(Duration::from_millis(300)).await {
            Ok(Some(_)) => task.tell(Fact::LetThrough { op, name, count: COUNTS }),
            Ok(None) => {}
            Err(error) => task.failed(op, &error),
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn small(task: &mut Task, session: &Session) {
    let Some((op, guard)) = lock(task, session, &name_now(SMALL, SMALL_SECONDS)).await else {
        return;
    };
    let add = task.next_op();
    let name = name_now("small-count", SMALL_SECONDS);
    task.tell(Fact::Asked { op: add, name: name.clone() });
    // What it counts to is judged by what went over the wire.
    if let Err(error) = session.counter(&name).guarded(&guard).add(1).await {
        task.failed(add, &error);
    }
    unlock(task, op, guard).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
}
