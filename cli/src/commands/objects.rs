//! `conclave latch`, `gate`, `barrier`, `register` and `counter`: one act of a session that is opened for it.

use std::io::Read as _;
use std::time::Duration;

use conclave_client::{Admin, Error, Refusal, Session, SessionId, Token, Value, Version};
use serde::Serialize;

use super::awaited::telling;
use super::connect;
use super::run::{self, Signals};
use crate::args::{
    BarrierArgs, CounterArgs, CounterCommand, GateArgs, Global, GuardArgs, LatchArgs, PatienceArgs,
    RegisterArgs, RegisterCommand, WaitArgs,
};
use crate::failure::{Failure, code};
use crate::identity;
use crate::job::code_of_signal;
use crate::output::{self, Format, Show, printable};

/// Opens a session, acts, and closes it, also when somebody wants us to end meanwhile: then nothing of ours waits any more.
async fn acting(
    global: &Global,
    command: &str,
    act: impl AsyncFnOnce(&Session, &Admin) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let mut signals = Signals::to_end().map_err(|error| {
        Failure::new(code::REFUSED, format!("cannot hear signals: {error}"), "")
    })?;
    let client = connect::client(global)?;
    let builder = client.session().name(identity::user_at_host()).labels(connect::labels(command));
    let session = tokio::select! {
        biased;
        signal = signals.asked() => return Ok(code_of_signal(signal)),
        session = builder.open() => session.map_err(|error| connect::failure(&error))?,
    };
    let admin = client.admin();
    let result = tokio::select! {
        biased;
        signal = signals.asked() => Ok(code_of_signal(signal)),
        result = act(&session, &admin) => result,
    };
    run::close(&session).await;
    result
}

/// How long to wait; none: forever.
const fn patience(nonblock: bool, time: Option<Duration>) -> Option<Duration> {
    if nonblock { Some(Duration::ZERO) } else { time }
}

/// A refusal, with the name that it is about.
fn refused(name: &str) -> impl Fn(Error) -> Failure {
    move |error| {
        let mut failure = connect::failure(&error);
        if let Error::Refused(_) = error {
            failure.sentence = format!("{}: {}", printable(name), failure.sentence);
        }
        failure
    }
}

#[derive(Debug, Serialize)]
struct Latched {
    name: String,
    /// How many are left.
    remaining: u64,
    round: u64,
}

impl Show for Latched {
    fn table(&self) -> String {
        format!("{}: {} left\n", printable(&self.name), self.remaining)
    }
}

pub(crate) async fn latch(global: &Global, args: &LatchArgs) -> Result<u8, Failure> {
    acting(global, "conclave latch", async |session, admin| {
        let (name, latch) = (&args.name, session.latch(&args.name));
        let state = match (args.count, &args.key) {
            (Some(count), _) => latch.create(count).await,
            (None, Some(key)) => latch.count_down_once(key).await,
            (None, None) if args.done => latch.count_down(1).await,
            (None, None) if args.reset => latch.reset().await,
            (None, None) => {
                let PatienceArgs { nonblock, timeout } = args.patience;
                let passed = telling(global, admin, name, async |progress| {
                    let latch = latch.progress(progress);
                    match patience(nonblock, timeout) {
                        None => latch.wait().await.map(Some),
                        Some(time) => latch.wait_timeout(time).await,
                    }
                });
                let passed = passed.await.map_err(no_latch(name))?;
                return let_through(global, name, passed, "is not at zero");
            }
        };
        let state = state.map_err(no_latch(name))?;
        let (remaining, round) = (state.remaining, state.round.get());
        output::print(global.output, &Latched { name: name.clone(), remaining, round })?;
        Ok(0)
    })
    .await
}

fn no_latch(name: &str) -> impl Fn(Error) -> Failure {
    move |error| match error {
        Error::Refused(Refusal::NotFound { .. }) => Failure::new(
            code::REFUSED,
            format!("there is no latch {}", printable(name)),
            format!("create it with `conclave latch {} --count N`", printable(name)),
        ),
        other => refused(name)(other),
    }
}

#[derive(Debug, Serialize)]
struct Passed {
    name: String,
    version: u64,
}

impl Show for Passed {
    fn table(&self) -> String {
        format!("{}: passed\n", printable(&self.name))
    }
}

fn let_through(
    global: &Global,
    name: &str,
    passed: Option<Version>,
    otherwise: &str,
) -> Result<u8, Failure> {
    let Some(version) = passed else {
        let text = format!("{} {otherwise}", printable(name));
        let advice = format!("wait longer, or see `conclave inspect {}`", printable(name));
        return Err(Failure::new(code::NOT_ACQUIRED, text, advice));
    };
    output::print(global.output, &Passed { name: name.to_owned(), version: version.get() })?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct GateShown {
    name: String,
    open: bool,
}

impl Show for GateShown {
    fn table(&self) -> String {
        format!("{}: {}\n", printable(&self.name), if self.open { "open" } else { "closed" })
    }
}

pub(crate) async fn gate(global: &Global, args: &GateArgs) -> Result<u8, Failure> {
    acting(global, "conclave gate", async |session, admin| {
        let (name, gate) = (&args.name, session.gate(&args.name));
        if args.wait {
            let PatienceArgs { nonblock, timeout } = args.patience;
            let passed = telling(global, admin, name, async |progress| {
                let gate = gate.progress(progress);
                match patience(nonblock, timeout) {
                    None => gate.wait().await.map(Some),
                    Some(time) => gate.wait_timeout(time).await,
                }
            });
            return let_through(global, name, passed.await.map_err(refused(name))?, "is closed");
        }
        let done = if args.open { gate.open().await } else { gate.close().await };
        done.map_err(refused(name))?;
        output::print(global.output, &GateShown { name: name.clone(), open: args.open })?;
        Ok(0)
    })
    .await
}

#[derive(Debug, Serialize)]
struct Arrived {
    name: String,
    generation: u64,
    /// From 0, in the order of arrival.
    index: u32,
    /// True for exactly one of a generation.
    last: bool,
}

impl Show for Arrived {
    fn table(&self) -> String {
        format!("{}: all arrived, this one as number {}\n", printable(&self.name), self.index + 1)
    }
}

pub(crate) async fn barrier(global: &Global, args: &BarrierArgs) -> Result<u8, Failure> {
    acting(global, "conclave barrier", async |session, admin| {
        let (name, WaitArgs { nonblock, wait, conflict_exit_code }) = (&args.name, args.wait);
        let barrier = session.barrier(name, args.parties);
        let barrier = if args.break_on_loss { barrier.break_on_loss() } else { barrier };
        let pass = telling(global, admin, name, async |progress| {
            let barrier = barrier.progress(progress);
            match patience(nonblock, wait) {
                None => barrier.arrive_and_wait().await.map(Some),
                Some(time) => barrier.arrive_timeout(time).await,
            }
        });
        let Some(pass) = pass.await.map_err(refused(name))? else {
            let text = format!("{}: the others did not arrive in time", printable(name));
            let advice = "wait longer with -w; this arrival is withdrawn";
            return Err(Failure::new(conflict_exit_code, text, advice));
        };
        let (generation, index) = (pass.generation.get(), pass.index);
        let arrived = Arrived { name: name.clone(), generation, index, last: pass.is_last };
        output::print(global.output, &arrived)?;
        Ok(0)
    })
    .await
}

#[derive(Debug, Serialize)]
struct Kept {
    name: String,
    version: u64,
    value: Value,
    /// The session with which it vanishes.
    bound_to: Option<SessionId>,
}

#[derive(Debug, Serialize)]
struct Written {
    name: String,
    version: u64,
}

impl Show for Kept {
    fn table(&self) -> String {
        format!("{}\n", self.value)
    }
}

impl Show for Written {
    fn table(&self) -> String {
        format!("{}: version {}\n", printable(&self.name), self.version)
    }
}

pub(crate) async fn register(global: &Global, args: &RegisterArgs) -> Result<u8, Failure> {
    // Before the session is opened: nobody keeps it alive while we read.
    let given = match &args.act {
        RegisterCommand::Get { .. } => Value::default(),
        RegisterCommand::Set { value, .. } => read_value(value)?,
    };
    acting(global, "conclave register", async |session, _| match &args.act {
        RegisterCommand::Get { name } => {
            let found = session.register(name).get().await.map_err(refused(name))?;
            let Some(entry) = found else {
                let text = format!("there is no register {}", printable(name));
                let advice = "write it with `conclave register set NAME VALUE`";
                return Err(Failure::new(code::REFUSED, text, advice));
            };
            let (version, value) = (entry.version.get(), entry.value);
            if global.output == Format::Table {
                // Whatever bytes they are.
                output::write_bytes(&[value.as_bytes(), b"\n"].concat())?;
            } else {
                let name = name.clone();
                output::print(
                    global.output,
                    &Kept { name, version, value, bound_to: entry.bound_to },
                )?;
            }
            Ok(0)
        }
        RegisterCommand::Set { name, value: _, if_version, if_absent, guard } => {
            let register = match grant(*guard)? {
                Some((lock, token)) => session.register(name).guarded_by(lock, token),
                None => session.register(name),
            };
            let value = given;
            let written = match if_version {
                Some(version) => register.compare_and_set(Version::new(*version), value).await,
                None if *if_absent => register.create(value).await,
                None => register.set(value).await,
            };
            let version = written.map_err(refused(name))?.get();
            output::print(global.output, &Written { name: name.clone(), version })?;
            Ok(0)
        }
    })
    .await
}

fn read_value(text: &str) -> Result<Value, Failure> {
    if text != "-" {
        return Ok(Value::from(text));
    }
    let mut bytes = Vec::new();
    // One byte more than there may be is enough to be refused.
    let read = std::io::stdin().lock().take(64 * 1024 + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        Failure::new(code::REFUSED, format!("cannot read standard input: {error}"), "")
    })?;
    Ok(Value::from(bytes))
}

/// The grant under which this process runs, if the write is to be fenced by it.
fn grant(guard: GuardArgs) -> Result<Option<(String, Token)>, Failure> {
    if !guard.guarded {
        return Ok(None);
    }
    let read = |key| std::env::var(key).ok();
    // Any of several names stands for the whole grant.
    let name = read("CONCLAVE_NAME").and_then(|names| names.lines().next().map(str::to_owned));
    let token = read("CONCLAVE_TOKEN").and_then(|token| token.parse().ok()).map(Token::new);
    match name.zip(token) {
        Some(grant) => Ok(Some(grant)),
        None => Err(Failure::new(
            code::USAGE,
            "--guarded needs CONCLAVE_NAME and CONCLAVE_TOKEN",
            "run it under `conclave lock NAME -- ...`, or leave out --guarded",
        )),
    }
}

#[derive(Debug, Serialize)]
struct Counted {
    name: String,
    value: i64,
}

impl Show for Counted {
    fn table(&self) -> String {
        format!("{}\n", self.value)
    }
}

pub(crate) async fn counter(global: &Global, args: &CounterArgs) -> Result<u8, Failure> {
    acting(global, "conclave counter", async |session, _| {
        let (name, value) = match &args.act {
            CounterCommand::Get { name } => (name, session.counter(name).get().await),
            CounterCommand::Add { name, delta, guard } => {
                let counter = match grant(*guard)? {
                    Some((lock, token)) => session.counter(name).guarded_by(lock, token),
                    None => session.counter(name),
                };
                (name, counter.add(*delta).await)
            }
        };
        let value = value.map_err(refused(name))?;
        output::print(global.output, &Counted { name: name.clone(), value })?;
        Ok(0)
    })
    .await
}
