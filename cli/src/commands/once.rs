//! `conclave once`: one runs the command, everybody gets its output and its exit code.

use std::io;
use std::ops::ControlFlow;

use conclave_client::{Error, OnceRun, Session};
use serde::{Deserialize, Serialize};

use super::run::{self, Had, Held, Kept, Order, Runner, Tee, Wanted};
use crate::args::{Global, OnceArgs};
use crate::failure::{Failure, code};
use crate::job::{Output, code_of_signal};
use crate::output::printable;
use crate::supervisor::EXIT_LOST;
use crate::voice::Tell;

/// The first line of what is kept; then the output, then the errors.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heading {
    /// The layout: 1.
    conclave_once: u8,
    code: u8,
    out: usize,
    err: usize,
    /// There was more.
    cut: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Said {
    Cut,
    NotKept { error: String },
}

impl Tell for Said {
    fn sentence(&self) -> String {
        match self {
            Self::Cut => "conclave: the command wrote more than is kept; others see the first \
                48 KiB of its output and 15 KiB of its errors"
                .to_owned(),
            Self::NotKept { error } => {
                format!("conclave: the result was not kept ({error}); another may run it again")
            }
        }
    }
}

pub(crate) async fn run(global: &Global, args: &OnceArgs) -> Result<u8, Failure> {
    let OnceArgs { key, retention, retry_failures, attempts_max, run: flags, command } = args;
    let wanted = Wanted::Once { retention: *retention, attempts_max: *attempts_max };
    let order = Order { names: std::slice::from_ref(key), wanted, flags, command };
    run::with(global, order, async |runner| {
        let session = match runner.open().await? {
            ControlFlow::Continue(session) => session,
            ControlFlow::Break(signal) => return Ok(code_of_signal(signal)),
        };
        match runner.acquire(&session).await? {
            ControlFlow::Break(signal) => Ok(code_of_signal(signal)),
            ControlFlow::Continue(Had::Done(value)) => {
                run::close(&session).await;
                show(runner, value.as_bytes())
            }
            ControlFlow::Continue(Had::Held(held)) => {
                run_it(runner, &session, held, args, *retry_failures).await
            }
        }
    })
    .await
}

/// Our turn: runs the command and tells what it came to.
async fn run_it(
    runner: &mut Runner<'_>,
    session: &Session,
    held: Held,
    args: &OnceArgs,
    retry_failures: bool,
) -> Result<u8, Failure> {
    let (ran, tee) = match runner.supervise(session, &held, Output::Piped).await {
        Ok(ran) => ran,
        Err(failure) => {
            runner.let_go(session, held, run::RELEASE_MAX).await;
            return Err(failure);
        }
    };
    let is_result = ran.vanished
        && ran.asked.is_none()
        && !ran.by_signal
        && ran.code != EXIT_LOST
        && !(retry_failures && ran.code != 0);
    if let Some(tee) = &tee {
        match passed_on(runner, tee, &held).await {
            Passed::All => {}
            Passed::Lost => {
                runner.end(session, held, ran).await;
                return Ok(EXIT_LOST);
            }
            Passed::Interrupted(code) => {
                runner.let_go(session, held, run::RELEASE_MAX).await;
                return Ok(code);
            }
        }
    }
    match held {
        Held::Once(turn) if is_result => {
            let kept = tee.map(|tee| tee.kept()).unwrap_or_default();
            if kept.cut {
                runner.voice.tell(&Said::Cut);
            }
            let told = tell(turn, &encode(ran.code, &kept), args).await;
            run::close(session).await;
            match told {
                Ok(()) => Ok(ran.code),
                Err(error) => {
                    runner.voice.tell(&Said::NotKept { error: printable(&error.to_string()) });
                    let is_lost = matches!(error, Error::Lost(_) | Error::SessionEnded(_));
                    Ok(if is_lost { EXIT_LOST } else { ran.code })
                }
            }
        }
        held => {
            runner.end(session, held, ran).await;
            Ok(ran.code)
        }
    }
}

enum Passed {
    All,
    Lost,
    Interrupted(u8),
}

/// Until all that the command wrote was read, which is as slow as whoever reads our output; the turn may end before.
async fn passed_on(runner: &mut Runner<'_>, tee: &Tee, held: &Held) -> Passed {
    tokio::select! {
        biased;
        _ = held.lost() => Passed::Lost,
        signal = runner.signals.asked() => Passed::Interrupted(code_of_signal(signal)),
        () = tee.passed_on() => Passed::All,
    }
}

async fn tell(turn: OnceRun, value: &[u8], args: &OnceArgs) -> Result<(), Error> {
    turn.complete(value, args.retention).await
}

/// What another one's run came to.
fn show(runner: &Runner<'_>, value: &[u8]) -> Result<u8, Failure> {
    let Some((heading, out, err)) = decode(value) else {
        // A program kept it by the client crate: what it is is all there is.
        write_to(&mut io::stdout(), value)?;
        return Ok(0);
    };
    write_to(&mut io::stdout(), out)?;
    // As with the command itself, nobody need read its errors.
    let _nobody_reads = write_to(&mut io::stderr(), err);
    if heading.cut {
        runner.voice.tell(&Said::Cut);
    }
    Ok(heading.code)
}

fn write_to(to: &mut impl io::Write, bytes: &[u8]) -> Result<(), Failure> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| {
        Failure::new(code::INTERNAL, format!("cannot write the result: {error}"), "")
    })
}

fn encode(code: u8, kept: &Kept) -> Vec<u8> {
    let Kept { out, err, cut } = kept;
    let heading = Heading { conclave_once: 1, code, out: out.len(), err: err.len(), cut: *cut };
    // Five plain fields always are JSON.
    let mut value = serde_json::to_vec(&heading).unwrap_or_default();
    value.push(b'\n');
    value.extend_from_slice(out);
    value.extend_from_slice(err);
    value
}

/// None: it was not written by this command.
fn decode(value: &[u8]) -> Option<(Heading, &[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let heading: Heading = serde_json::from_slice(&value[..end]).ok()?;
    let (out, err) = value[end + 1..].split_at_checked(heading.out)?;
    let is_ours = heading.conclave_once == 1 && err.len() == heading.err;
    is_ours.then_some((heading, out, err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let kept = Kept { out: b"a\nb\xff".to_vec(), err: b"oh\n".to_vec(), cut: true };
        let value = encode(7, &kept);
        assert!(
            value.starts_with(
                b"{\"conclave_once\":1,\"code\":7,\"out\":4,\"err\":3,\"cut\":true}\n"
            )
        );
        let (heading, out, err) = decode(&value).expect("ours");
        assert_eq!((heading.code, heading.cut), (7, true));
        assert_eq!((out, err), (&kept.out[..], &kept.err[..]));
    }

    #[test]
    fn what_others_kept_is_not_taken_for_ours() {
        for value in [
            "",
            "{}",
            "42",
            "{\"conclave_once\":1,\"code\":7,\"out\":4,\"err\":3,\"cut\":true}\nshort",
        ] {
            assert_eq!(decode(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn the_most_that_is_kept_fits_into_a_value() {
        let kept = Kept { out: vec![b'x'; 48 * 1024], err: vec![b'y'; 15 * 1024], cut: true };
        assert!(encode(255, &kept).len() <= 64 * 1024);
    }
}
