//! A pipeline of three stages that reports every error, not only the first: numbers come in, are checked, are squared by several
//! workers, and go out. Each stage is a task of one group that goes on when another failed; bad numbers are errors of their own.
//! Prints the squares and then each error, as `numbers` in the arguments demand; a negative or unreadable number is bad.

use std::collections::BTreeSet;
use std::num::{NonZeroUsize, ParseIntError};

use conclave_local::flow::{Distribute, distribute};
use conclave_local::{ErrorWaitGroup, OnError, TaskCtx, TaskGroup};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{text:?} is not a number: {reason}")]
    NotANumber { text: String, reason: ParseIntError },
    #[error("{0} is negative")]
    Negative(i64),
    #[error("the square of {0} is too large")]
    TooLarge(i64),
}

#[tokio::main]
async fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let three = NonZeroUsize::new(3).expect("not zero");
    let errors = ErrorWaitGroup::new();
    let group = TaskGroup::<(), Error>::builder().on_error(OnError::Continue).build();
    let spawner = group.spawner();

    let (numbers, checked) = mpsc::channel(4);
    let reports = errors.token();
    let check = async move |_: TaskCtx<_, _>| {
        for text in words {
            match parse(text) {
                Ok(number) if numbers.send(number).await.is_err() => break,
                Ok(_) => {}
                Err(error) => reports.fail(error),
            }
        }
        Ok(())
    };
    spawner.spawn(check).await.expect("open");

    let (squares, mut out) = mpsc::channel(4);
    for mut input in distribute(ReceiverStream::new(checked), three, three, Distribute::FirstReady)
    {
        let (reports, squares) = (errors.token(), squares.clone());
        let square = async move |_: TaskCtx<_, _>| {
            while let Some(number) = input.next().await {
                match i64::checked_mul(number, number) {
                    Some(square) if squares.send(square).await.is_err() => break,
                    Some(_) => {}
                    None => reports.fail(Error::TooLarge(number)),
                }
            }
            Ok(())
        };
        spawner.spawn(square).await.expect("open");
    }
    drop(squares);

    // Three workers finish in any order; a set prints in one.
    let mut sorted = BTreeSet::new();
    while let Some(square) = out.recv().await {
        sorted.insert(square);
    }
    sorted.iter().for_each(|square| println!("{square}"));
    group.join().await.expect("a stage reports its errors one by one and goes on");
    if let Err(errors) = errors.wait().await {
        errors.iter().for_each(|error| println!("error: {error}"));
        std::process::exit(1);
    }
}

fn parse(text: String) -> Result<i64, Error> {
    match text.parse() {
        Ok(number @ 0..) => Ok(number),
        Ok(number) => Err(Error::Negative(number)),
        Err(reason) => Err(Error::NotANumber { text, reason }),
    }
}
