//! `conclave watch`: what there is under a prefix, and then whatever happens to it.

use conclave_client::{Note, ObjectLine, Watched};
use serde_json::Value;

use super::connect;
use super::stream::{self, Told};
use crate::args::{Global, WatchArgs};
use crate::failure::Failure;
use crate::output::printable;

pub(crate) async fn run(global: &Global, args: &WatchArgs) -> Result<u8, Failure> {
    let client = connect::client(global)?;
    // Whoever follows waits for a cluster as long as it takes; that there is one is known now.
    client.admin().status().await.map_err(|error| connect::failure(&error))?;
    let mut events = client.watch(&args.prefix);
    stream::show(global.output, async || Some(events.next().await?.map(Event))).await
}

#[derive(Debug)]
struct Event(Watched);

impl Told for Event {
    /// A note's `what` becomes the `event`, so that a script looks at one key.
    fn json(&self) -> Result<Value, serde_json::Error> {
        let mut object = stream::flat(&self.0)?;
        if let Some(object) = object.as_object_mut()
            && let Some(Value::Object(mut note)) = object.remove("note")
        {
            if let Some(what) = note.remove("what") {
                object.insert("event".to_owned(), what);
            }
            object.extend(note);
        }
        Ok(object)
    }

    fn line(&self) -> String {
        match &self.0 {
            Watched::Resync { objects, total, revision } => {
                let mut text = format!("at revision {revision} there are {total}");
                for object in objects {
                    text += &format!("\n  {}", object_line(object));
                }
                text
            }
            Watched::Event { name, note, .. } => format!("{}: {}", printable(name), words(note)),
            other => format!("{other:?}"),
        }
    }
}

fn object_line(object: &ObjectLine) -> String {
    let mut text = format!("{}: {}", printable(&object.name), object.kind);
    if let Some(holder) = &object.holder {
        text += &format!(", {} by {}", holder.state, connect::holder(holder));
    }
    if object.holders > 1 {
        text += &format!(" and {} more", object.holders - 1);
    }
    if object.queue_len > 0 {
        text += &format!(", {} waiting", object.queue_len);
    }
    text
}

fn words(note: &Note) -> String {
    match note {
        Note::Granted { session, session_name, token, demand, value: _ } => {
            let who = connect::who(session_name, session.get(), |_| None);
            format!("granted to {who} ({demand}), token {token}")
        }
        Note::Ended { token, lost: false, .. } => format!("token {token} was released"),
        Note::Ended { token, lost: true, .. } => format!("token {token} was lost"),
        Note::Revoked { token, .. } => format!("token {token} was taken away"),
        Note::Cooling { token, .. } => format!("token {token}: its session expired"),
        Note::Changed { token, demand } => format!("token {token} is now {demand}"),
        Note::Proclaimed { term, value } => {
            format!("term {term} proclaims {}", printable(&value.to_string()))
        }
        Note::Waiting { queue_len } => format!("{queue_len} waiting"),
        Note::Resized { limit, version } => format!("limit {limit}, version {version}"),
        Note::Latch { remaining, round } => format!("{remaining} left in round {round}"),
        Note::Gate { open: true } => "open".to_owned(),
        Note::Gate { open: false } => "closed".to_owned(),
        Note::Register { version } => format!("written, version {version}"),
        Note::Counter { value } => format!("{value}"),
        Note::Passed { count, version } => format!("{count} passed, version {version}"),
        Note::Gone { kind } => format!("the {kind} is gone"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use conclave_client::{Demand, SessionId, Token};

    use super::*;

    fn granted() -> Event {
        let (session, token) = (SessionId::new(3), Token::new(8));
        let (session_name, demand) = ("billing".to_owned(), Demand::Mutex);
        let note = Note::Granted { session, session_name, token, demand, value: None };
        Event(Watched::Event { name: "job".to_owned(), note, revision: 40 })
    }

    #[test]
    fn events_are_told_to_people() {
        assert_eq!(granted().line(), "job: granted to billing (mutex), token 8");
    }

    #[test]
    fn and_to_programs_on_one_line() {
        assert_eq!(
            granted().json().expect("JSON").to_string(),
            "{\"demand\":\"mutex\",\"event\":\"granted\",\"name\":\"job\",\"revision\":40,\"session\":3,\
             \"session_name\":\"billing\",\"token\":8,\"value\":null}"
        );
        let resync = Event(Watched::Resync { objects: vec![], total: 0, revision: 2 });
        assert_eq!(
            resync.json().expect("JSON").to_string(),
            r#"{"event":"resync","objects":[],"revision":2,"total":0}"#
        );
    }
}
