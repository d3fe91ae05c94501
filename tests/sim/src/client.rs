//! A client on its host: the real client crate, a session, and some tasks that do with every primitive what users do.

use std::time::Duration;

use conclave_client::{
    Client, Error, Grant, LockTimeoutError, Refusal, Session, TryLockError, Turn, Want,
};
use conclave_oracle::{Answer, Asked, Change, Demand, Reading};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::dialling;
use crate::diary::{Claim, Diary, Verdict};
use crate::member::client_address;
use crate::network::Network;

const TTL: Duration = Duration::from_secs(5);
const TASKS: usize = 3;
const PERMITS: u32 = 3;

/// What one life of a client needs.
#[derive(Clone)]
pub struct Life {
    pub name: String,
    pub diary: Diary,
    pub network: Network,
    pub nodes: Vec<String>,
    pub chance: Chance,
}

/// Opens sessions and works until the diary says that it is enough.
pub async fn live(mut life: Life) {
    let endpoints = life.nodes.iter().map(|node| client_address(node));
    let network = dialling::of_client(&life.network, &life.name);
    let client = Client::builder().endpoints(endpoints).simulated(network).build();
    let client = client.expect("good addresses");
    while !life.diary.is_draining() {
        let lock_delay = Duration::from_millis(*life.chance.pick(&[0, 0, 0, 700]));
        let opening = client.session().name(&life.name).ttl(TTL).lock_delay(lock_delay).open();
        match opening.await {
            Ok(session) => work(&mut life, &session).await,
            Err(error) => {
                life.diary.attempt("open", verdict(&error));
                life.diary.say(&life.name, &format!("no session: {error}"));
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    life.diary.say(&life.name, "is done");
    life.diary.pages().finished.insert(life.name.clone(), true);
}

async fn work(life: &mut Life, session: &Session) {
    let id = session.id().get();
    life.diary.attempt("open", Verdict::Done);
    life.diary.say(&life.name, &format!("session {id}"));
    life.diary.pages().sessions.insert(id, (life.name.clone(), session.clone()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| Task {
            name: format!("{}.{number}", life.name),
            host: life.name.clone(),
            diary: life.diary.clone(),
            session: session.clone(),
            chance: life.chance.fork(),
        })
        .collect();
    join_all(tasks.into_iter().map(Task::run)).await;
    let close = session.close().await;
    let said = close.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
    life.diary.say(&life.name, &format!("session {id} {said}: {:?}", session.end()));
    life.diary.pages().sessions.remove(&id);
}

struct Task {
    name: String,
    host: String,
    diary: Diary,
    session: Session,
    chance: Chance,
}

fn verdict(error: &Error) -> Verdict {
    match error {
        Error::SessionEnded(_) | Error::Lost(_) => Verdict::Ended,
        Error::Refused(Refusal::SessionExpired | Refusal::SessionFenced) => Verdict::Ended,
        Error::NotAnswered(_) => Verdict::Unknown,
        _ => Verdict::Denied,
    }
}

fn of<T>(result: Result<T, Error>) -> Verdict {
    result.map_or_else(|error| verdict(&error), |_| Verdict::Done)
}

fn timed<T>(result: Result<T, LockTimeoutError>) -> Result<T, Verdict> {
    result.map_err(|error| match error {
        LockTimeoutError::Failed(error) => verdict(&error),
        _ => Verdict::Denied,
    })
}

fn tried<T>(result: Result<T, TryLockError>) -> Result<T, Verdict> {
    result.map_err(|error| match error {
        TryLockError::Failed(error) => verdict(&error),
        _ => Verdict::Denied,
    })
}

impl Task {
    async fn run(mut self) {
        while self.session.is_valid() && !self.diary.is_draining() {
            let begun = self.diary.pages().now_ms;
            let (kind, verdict) = self.turn().await;
            self.diary.attempt(kind, verdict);
            self.diary.say(&self.name, &format!("{kind} since {begun}: {verdict:?}"));
            let pause = self.chance.between(1, 120);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn turn(&mut self) -> (&'static str, Verdict) {
        match self.chance.below(20) {
            0..=3 => ("mutex", self.mutex().await),
            4 => ("try", self.try_mutex().await),
            5 => ("cancel", self.cancelled().await),
            6..=7 => ("rwlock", self.rwlock().await),
            8 => ("upgrade", self.upgrade().await),
            9..=10 => ("semaphore", self.semaphore().await),
            11 => ("election", self.election().await),
            12 => ("all", self.all().await),
            13 => ("once", self.once().await),
            14 => ("barrier", self.barrier().await),
            15 => ("latch", self.latch().await),
            16 => ("gate", self.gate().await),
            17 => ("register", self.register().await),
            18 => ("add", self.add().await),
            _ => ("get", self.get().await),
        }
    }

    fn name(&mut self, kind: &str, many: u64) -> String {
        format!("{kind}{}", self.chance.below(many))
    }

    fn patience(&mut self) -> Duration {
        Duration::from_millis(*self.chance.pick(&[50, 800, 3000, 20_000]))
    }

    /// Believes in it for a while, as long as it is not lost.
    async fn hold(&mut self, grant: &Grant, shares: Vec<(String, Demand)>) {
        let (session, token) = (grant.session_id().get(), grant.token().get());
        let name = grant.name().to_owned();
        self.diary.say(&self.name, &format!("holds {name} with {token}"));
        let claim = Claim { host: self.host.clone(), held: shares, watch: grant.watch() };
        let _claimed = self.diary.claim(session, claim);
        let time = Duration::from_millis(*self.chance.pick(&[1, 10, 40, 150, 600]));
        if let Ok(lost) = timeout(time, grant.lost()).await {
            self.diary.say(&self.name, &format!("lost {token}: {lost}"));
        }
    }

    async fn mutex(&mut self) -> Verdict {
        let name = self.name("m", 3);
        let patience = self.patience();
        match timed(self.session.mutex(&name).lock_timeout(patience).await) {
            Ok(guard) => {
                self.hold(&guard, vec![(name, Demand::Mutex)]).await;
                of(guard.release().await)
            }
            Err(verdict) => verdict,
        }
    }

    async fn try_mutex(&mut self) -> Verdict {
        let name = self.name("m", 3);
        match tried(self.session.mutex(&name).try_lock().await) {
            Ok(guard) => {
                self.hold(&guard, vec![(name, Demand::Mutex)]).await;
                // Given back in the background.
                drop(guard);
                Verdict::Done
            }
            Err(verdict) => verdict,
        }
    }

    /// Gives up by dropping the future, wherever it stands.
    async fn cancelled(&mut self) -> Verdict {
        let name = self.name("m", 3);
        let mutex = self.session.mutex(&name);
        let patience = Duration::from_millis(self.chance.between(1, 60));
        match timeout(patience, mutex.lock()).await {
            Ok(Ok(guard)) => {
                self.hold(&guard, vec![(name, Demand::Mutex)]).await;
                of(guard.release().await)
            }
            Ok(Err(error)) => verdict(&error),
            Err(_) => Verdict::Denied,
        }
    }

    async fn rwlock(&mut self) -> Verdict {
        let name = self.name("rw", 2);
        let lock = self.session.rwlock(&name);
        let patience = self.patience();
        if self.chance.one_in(3) {
            match timed(lock.write_timeout(patience).await) {
                Ok(guard) => {
                    self.hold(&guard, vec![(name.clone(), Demand::Write)]).await;
                    match guard.downgrade().await {
                        Ok(guard) => {
                            self.hold(&guard, vec![(name, Demand::Read)]).await;
                            of(guard.release().await)
                        }
                        Err(_) => Verdict::Unknown,
                    }
                }
                Err(verdict) => verdict,
            }
        } else {
            match timed(lock.read_timeout(patience).await) {
                Ok(guard) => {
                    self.hold(&guard, vec![(name, Demand::Read)]).await;
                    of(guard.release().await)
                }
                Err(verdict) => verdict,
            }
        }
    }

    async fn upgrade(&mut self) -> Verdict {
        let name = self.name("rw", 2);
        let patience = self.patience();
        let guard = timed(self.session.rwlock(&name).upgradable_timeout(patience).await);
        match guard {
            Ok(guard) => {
                self.hold(&guard, vec![(name.clone(), Demand::Upgradable)]).await;
                match timeout(Duration::from_secs(8), guard.upgrade()).await {
                    Ok(Ok(guard)) => {
                        self.hold(&guard, vec![(name, Demand::Write)]).await;
                        of(guard.release().await)
                    }
                    Ok(Err(_)) => Verdict::Unknown,
                    Err(_) => Verdict::Denied,
                }
            }
            Err(verdict) => verdict,
        }
    }

    async fn semaphore(&mut self) -> Verdict {
        let (weight, patience) = (self.chance.between(1, 2), self.patience());
        let weight = u32::try_from(weight).unwrap_or(1);
        let semaphore = self.session.semaphore("s", PERMITS);
        match timed(semaphore.acquire_timeout(weight, patience).await) {
            Ok(permit) => {
                let share = Demand::Permits { weight: permit.permits(), limit: PERMITS };
                self.hold(&permit, vec![("s".to_owned(), share)]).await;
                of(permit.release().await)
            }
            Err(verdict) => verdict,
        }
    }

    async fn election(&mut self) -> Verdict {
        let patience = self.patience();
        let election = self.session.election("e").value(self.name.as_str());
        match timed(election.campaign_timeout(patience).await) {
            Ok(leadership) => {
                self.hold(&leadership, vec![("e".to_owned(), Demand::Lead)]).await;
                let _ = leadership.proclaim("still here").await;
                of(leadership.resign().await)
            }
            Err(verdict) => verdict,
        }
    }

    async fn all(&mut self) -> Verdict {
        let wants = [
            Want::mutex("m0"),
            Want::mutex("m1"),
            Want::write("rw0"),
            Want::permits("s", PERMITS, 1),
        ];
        let patience = self.patience();
        match timed(self.session.acquire_all(wants).acquire_timeout(patience).await) {
            Ok(guard) => {
                let alone = [("m0", Demand::Mutex), ("m1", Demand::Mutex), ("rw0", Demand::Write)];
                let alone = alone.map(|(name, demand)| (name.to_owned(), demand));
                let permit = Demand::Permits { weight: 1, limit: PERMITS };
                let shares = alone.into_iter().chain([("s".to_owned(), permit)]).collect();
                self.hold(&guard, shares).await;
                of(guard.release().await)
            }
            Err(verdict) => verdict,
        }
    }

    async fn once(&mut self) -> Verdict {
        let key = self.name("once", 40);
        let retention = Duration::from_secs(10);
        match self.session.once(&key, retention).turn_timeout(Duration::from_secs(3)).await {
            Ok(Some(Turn::Run(run))) => {
                self.hold(&run, vec![(key.clone(), Demand::Run { attempts_max: 0 })]).await;
                of(run.complete(key.into_bytes(), retention).await)
            }
            Ok(Some(Turn::Done(value))) => {
                if value.as_bytes() != key.as_bytes() {
                    self.diary.fail(&format!("{key} has the result {value:?}"));
                }
                Verdict::Done
            }
            Ok(None) => Verdict::Denied,
            Err(error) => verdict(&error),
        }
    }

    async fn barrier(&mut self) -> Verdict {
        match self.session.barrier("b", 2).arrive_timeout(Duration::from_secs(2)).await {
            Ok(Some(_)) => Verdict::Done,
            Ok(None) => Verdict::Denied,
            Err(error) => verdict(&error),
        }
    }

    async fn latch(&mut self) -> Verdict {
        let latch = self.session.latch("l");
        match self.chance.below(3) {
            0 => of(latch.create(4).await),
            1 => of(latch.count_down(1).await),
            _ => match latch.wait_timeout(Duration::from_secs(1)).await {
                Ok(Some(_)) => Verdict::Done,
                Ok(None) => Verdict::Denied,
                Err(error) => verdict(&error),
            },
        }
    }

    async fn gate(&mut self) -> Verdict {
        let gate = self.session.gate("g");
        match self.chance.below(3) {
            0 => of(gate.open().await),
            1 => of(gate.close().await),
            _ => match gate.wait_timeout(Duration::from_secs(1)).await {
                Ok(Some(_)) => Verdict::Done,
                Ok(None) => Verdict::Denied,
                Err(error) => verdict(&error),
            },
        }
    }

    async fn register(&mut self) -> Verdict {
        let name = self.name("r", 2);
        let register = self.session.register(&name);
        match self.chance.below(2) {
            0 => of(register.set(self.name.as_str()).await),
            _ => match register.get().await {
                Ok(Some(entry)) => {
                    let set = register.compare_and_set(entry.version, self.name.as_str()).await;
                    of(set)
                }
                Ok(None) => Verdict::Done,
                Err(error) => verdict(&error),
            },
        }
    }

    async fn add(&mut self) -> Verdict {
        let name = self.name("c", 2);
        let change = Change::AddCounter { delta: 1 };
        let asking =
            self.diary.ask(&self.name, Asked::Edit { name: name.clone(), guard: None, change });
        let result = self.session.counter(&name).add(1).await;
        match (&result, result.as_ref().map_or_else(verdict, |_| Verdict::Done)) {
            (Ok(value), _) => asking.answered(Answer::Counted { value: *value }),
            (Err(error), Verdict::Denied) => asking.answered(Answer::refused(&error.to_string())),
            // Perhaps, perhaps not.
            (Err(_), _) => {}
        }
        of(result)
    }

    async fn get(&mut self) -> Verdict {
        let name = self.name("c", 2);
        let reading = Reading::Counter { name: name.clone() };
        let asking = self.diary.ask(&self.name, Asked::Read(reading));
        let value = self.session.counter(&name).get().await;
        if let Ok(value) = value {
            // All adds are positive: a counter that is zero is none.
            asking.answered(Answer::Counter { value: (value != 0).then_some(value) });
        }
        of(value)
    }
}
