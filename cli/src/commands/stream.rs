//! Shows what happens as it happens, a line each, until somebody wants us to end.

use std::io::IsTerminal as _;

use conclave_client::Error;
use serde::Serialize;
use serde_json::{Map, Value};

use super::connect;
use super::run::Signals;
use crate::failure::{Failure, code};
use crate::job::code_of_signal;
use crate::output::{Format, write_out};

/// Something that happened.
pub(crate) trait Told {
    /// One flat object: `event` says what happened.
    fn json(&self) -> Result<Value, serde_json::Error>;
    /// The same for people; may have several lines.
    fn line(&self) -> String;
}

/// Prints whatever `next` answers. Ctrl-C ends it.
pub(crate) async fn show<T: Told>(
    format: Format,
    mut next: impl AsyncFnMut() -> Option<Result<T, Error>>,
) -> Result<u8, Failure> {
    let mut signals = Signals::to_end().map_err(|error| {
        Failure::new(code::REFUSED, format!("cannot hear signals: {error}"), "")
    })?;
    loop {
        let told = tokio::select! {
            biased;
            signal = signals.asked() => return Ok(ended_by(signal)),
            told = next() => told,
        };
        let told = match told {
            Some(told) => told.map_err(|error| connect::failure(&error))?,
            None => return Ok(0),
        };
        let text = match format {
            Format::Table => told.line(),
            Format::Json => told.json().map(|json| json.to_string()).map_err(|error| {
                Failure::new(code::REFUSED, format!("the answer is no JSON: {error}"), "")
            })?,
        };
        write_out(&format!("{text}\n"))?;
    }
}

/// A person who presses Ctrl-C has seen enough; for a script it is a signal like others.
fn ended_by(signal: nix::sys::signal::Signal) -> u8 {
    if std::io::stdout().is_terminal() { 0 } else { code_of_signal(signal) }
}

/// An enum as serde writes it, `{"elected": {..}}`, as one flat object with the word as its `event`.
pub(crate) fn flat(what: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut object = Map::new();
    match serde_json::to_value(what)? {
        Value::Object(outer) => {
            for (event, inner) in outer {
                object.insert("event".to_owned(), Value::String(event));
                match inner {
                    Value::Object(fields) => object.extend(fields),
                    other => drop(object.insert("value".to_owned(), other)),
                }
            }
        }
        Value::String(event) => drop(object.insert("event".to_owned(), Value::String(event))),
        other => drop(object.insert("value".to_owned(), other)),
    }
    Ok(Value::Object(object))
}
