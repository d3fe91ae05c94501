//! What sessions said and heard over the wire, one JSON line a word, at once, and the calls of the oracle that come of it: with the
//! session, the seq and the revision of everything. Believes nothing that the client makes of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use conclave_client::overheard::{Ear, Word as Wire};
use conclave_machine::{Revision, Seq, SessionId};
use conclave_oracle::{Answer, Asked, Call, Heard, History, Micros, Renewal};
use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use serde::{Deserialize, Serialize};

use crate::facts::now;
use crate::wire;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Word {
    Opens,
    Opened { session: u64 },
    Attaches { session: u64 },
    Attached,
    Calls { seq: u64, asked: Asked },
    Answered { seq: u64, answer: Answer },
    KeepsAlive { number: u64 },
    Acknowledged { number: u64 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    at_us: Micros,
    /// Counts the streams of one process.
    link: u64,
    /// Zero: of what was said, and of what decided nothing.
    revision: u64,
    word: Word,
}

/// Where the words of a client are, beside its history.
pub(crate) fn words(history: &Path) -> PathBuf {
    history.with_extension("words")
}

/// Writes down whatever a client's sessions say, before it is sent, and whatever they hear.
pub(crate) fn ear(path: &Path) -> Ear {
    let file = File::options().create_new(true).append(true).open(path);
    let file = Mutex::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    Ear::new(move |link, word| {
        let (revision, word) = match word {
            Wire::Said(request) => (0, said(request)),
            Wire::Heard(response) => (response.revision, heard(response)),
        };
        let Some(word) = word else { return };
        let line = Line { at_us: now() / 1_000, link, revision, word };
        let mut text = serde_json::to_string(&line).expect("a word has a text");
        text.push('\n');
        let mut file = file.lock().expect("no write panics");
        file.write_all(text.as_bytes()).expect("room for the words");
    })
}

/// None: nothing that the oracle judges.
fn said(request: &v1::StreamRequest) -> Option<Word> {
    Some(match request.message.as_ref()? {
        Say::Open(_) => Word::Opens,
        Say::Attach(attach) => Word::Attaches { session: attach.key.as_ref()?.session },
        Say::Call(call) => Word::Calls { seq: call.seq, asked: wire::asked(call.op.as_ref()?) },
        Say::KeepAlive(beat) => Word::KeepsAlive { number: beat.number },
        Say::Resume(_) | Say::CancelSeq(_) | Say::AckStoppedToken(_) | Say::Close(_) => {
            return None;
        }
    })
}

fn heard(response: &v1::StreamResponse) -> Option<Word> {
    Some(match response.message.as_ref()? {
        Said::Opened(opened) => Word::Opened { session: opened.session },
        Said::Attached(_) => Word::Attached,
        Said::Answer(answer) => {
            Word::Answered { seq: answer.seq, answer: wire::answer(answer.result.as_ref()?) }
        }
        Said::KeepAlive(ack) => Word::Acknowledged { number: ack.number },
        Said::Resumed(_)
        | Said::Lost(_)
        | Said::Contended(_)
        | Said::Ended(_)
        | Said::Moved(_)
        | Said::StoppedToken(_)
        | Said::Refused(_) => return None,
    })
}

/// One stream, as far as it was followed.
#[derive(Debug, Default)]
struct Link {
    /// None until it is known.
    session: Option<SessionId>,
    /// Of the first message.
    sent_us: Micros,
    /// Where the keepalives without an acknowledgement are among the renewals.
    beats: BTreeMap<u64, usize>,
}

/// Puts calls together, of one process after the other.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) history: History,
    known: HashMap<(SessionId, Seq), usize>,
}

impl Calls {
    /// The words of one process; the last one of a killed process may be torn, and then nothing was sent.
    pub(crate) fn take(&mut self, client: &str, path: &Path) {
        let text = std::fs::read(path).expect("the words of a client");
        let text = String::from_utf8_lossy(&text);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut links: HashMap<u64, Link> = HashMap::new();
        for line in whole.lines() {
            let line: Line = serde_json::from_str(line).expect("a whole line");
            self.line(client, line, &mut links);
        }
    }

    fn line(&mut self, client: &str, line: Line, links: &mut HashMap<u64, Link>) {
        let Line { at_us, link, revision, word } = line;
        let link = links.entry(link).or_default();
        // Only a first message comes before it.
        let session = link.session.unwrap_or(SessionId(0));
        match word {
            Word::Opens => link.sent_us = at_us,
            Word::Opened { session } => {
                let session = SessionId(session);
                link.session = Some(session);
                let answer = Answer::Opened { session };
                let mut call = call_of(client, SessionId(0), Seq(0), Asked::Open, link.sent_us);
                call.answers.push(Heard { at_us, revision: Revision(revision), answer });
                self.history.calls.push(call);
            }
            Word::Attaches { session } => {
                link.session = Some(SessionId(session));
                link.sent_us = at_us;
            }
            Word::Attached => {
                self.renewed(client, session, link.sent_us, Some(at_us));
            }
            Word::Calls { seq, asked } => {
                let at = self.history.calls.len();
                if *self.known.entry((session, Seq(seq))).or_insert(at) == at {
                    self.history.calls.push(call_of(client, session, Seq(seq), asked, at_us));
                }
            }
            // What decided nothing is asked again.
            Word::Answered { answer: Answer::Refused { .. }, .. } if revision == 0 => {}
            Word::Answered { seq, answer } => {
                let at = self.known.get(&(session, Seq(seq))).expect("it was asked");
                let heard = Heard { at_us, revision: Revision(revision), answer };
                self.history.calls[*at].answers.push(heard);
            }
            Word::KeepsAlive { number } => {
                let at = self.renewed(client, session, at_us, None);
                link.beats.insert(number, at);
            }
            Word::Acknowledged { number } => {
                // Some servers answer several by the last of them: the others stay without an answer.
                if let Some(at) = link.beats.remove(&number) {
                    self.history.renewals[at].acknowledged_us = Some(at_us);
                }
            }
        }
    }

    fn renewed(
        &mut self,
        client: &str,
        session: SessionId,
        sent_us: Micros,
        acknowledged_us: Option<Micros>,
    ) -> usize {
        let client = client.to_owned();
        self.history.renewals.push(Renewal { client, session, sent_us, acknowledged_us });
        self.history.renewals.len() - 1
    }
}

fn call_of(client: &str, session: SessionId, seq: Seq, asked: Asked, invoked_us: Micros) -> Call {
    Call { client: client.to_owned(), session, seq, asked, invoked_us, answers: Vec::new() }
}

/// What comes of the words of a session that was opened, lost its stream, asked the same again, and was killed.
pub(crate) fn what_went_over_the_wire_is_what_the_oracle_judges() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words");
    let ear = ear(&path);
    let say = |link, message| {
        let request = v1::StreamRequest { message: Some(message) };
        ear.hears(link, Wire::Said(&request));
    };
    let hear = |link, revision, message| {
        let response = v1::StreamResponse { revision, n: 0, message: Some(message) };
        ear.hears(link, Wire::Heard(&response));
    };
    let key = v1::SessionKey { session: 7, ..Default::default() };
    let attach = v1::AttachRequest { key: Some(key), ..Default::default() };
    let op = v1::call_request::Op::Release(v1::ReleaseOp { token: 9, permits: 0 });
    let call = v1::CallRequest { seq: 3, seen_through: 2, op: Some(op) };
    let answer = |result| Said::Answer(v1::CallAnswer { seq: 3, result: Some(result) });
    let busy = v1::Problem { reason: "OVERLOADED".to_owned(), ..Default::default() };
    let beat = |number| Say::KeepAlive(v1::StreamKeepAlive { number, ..Default::default() });

    say(0, Say::Open(v1::OpenRequest::default()));
    hear(0, 4, Said::Opened(v1::OpenResponse { session: 7, ..Default::default() }));
    say(0, beat(1));
    say(0, beat(2));
    hear(0, 4, Said::KeepAlive(v1::KeepAliveResponse { number: 1, ..Default::default() }));
    say(0, Say::Call(call.clone()));
    hear(0, 0, answer(v1::call_answer::Result::Problem(busy)));
    say(1, Say::Attach(attach));
    hear(1, 5, Said::Attached(v1::AttachResponse::default()));
    say(1, Say::Call(call));
    hear(1, 6, answer(v1::call_answer::Result::Released(v1::Released {})));
    let mut torn = File::options().append(true).open(&path).expect("the words");
    torn.write_all(b"{\"at_us\":1,").expect("room");

    let mut calls = Calls::default();
    calls.take("client", &path);
    let History { calls, renewals, .. } = calls.history;
    let acknowledged: Vec<_> =
        renewals.iter().map(|renewal| renewal.acknowledged_us.is_some()).collect();
    assert_eq!(acknowledged, [true, false, true], "two keepalives and an attach");
    let [opened, released] = calls.as_slice() else { panic!("two calls, not {calls:?}") };
    assert_eq!((&opened.asked, opened.session), (&Asked::Open, SessionId(0)));
    let session = SessionId(7);
    assert_eq!(opened.answers[0].answer, Answer::Opened { session });
    let asked = Asked::Release { token: conclave_machine::Token(9), permits: 0 };
    assert_eq!((released.session, released.seq, &released.asked), (session, Seq(3), &asked));
    let [heard] = released.answers.as_slice() else { panic!("one answer: {released:?}") };
    assert_eq!((heard.revision, &heard.answer), (Revision(6), &Answer::Released));
}
