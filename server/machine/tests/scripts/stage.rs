//! One machine and its clients, told what to do in words. The only place that touches the machine's API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_machine::{
    Acquire, Attach, Call, Command, Context, Demand, Due, Epoch, Event, Generation, Labels,
    LossNumber, Machine, Name, Nonce, Op, Open, Outcome, Record, Resume, Secret, Seq, SessionId,
    SessionKey, Sort, Term, Timer, TimerSet, Token,
};

use crate::render::{self, Names};

struct Client {
    key: SessionKey,
    next_seq: u64,
}

pub(crate) struct Stage {
    machine: Machine,
    context: Context,
    clients: BTreeMap<String, Client>,
    names: Names,
    /// What the leader's clock knows from events alone.
    timers: BTreeMap<Timer, TimerSet>,
}

/// The words of a command: those with `=` by key, the others in order.
struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: BTreeMap<&'a str, &'a str>,
    at: &'a str,
}

impl<'a> Words<'a> {
    fn new(line: &'a str, at: &'a str) -> Self {
        let (keyed, plain) = line.split_whitespace().partition::<Vec<_>, _>(|w| w.contains('='));
        let keyed = keyed.into_iter().map(|word| word.split_once('=').expect("it has one"));
        Self { plain, keyed: keyed.collect(), at }
    }

    /// The first plain word, taken away.
    fn next(&mut self) -> &'a str {
        assert!(!self.plain.is_empty(), "{}: a word is missing", self.at);
        self.plain.remove(0)
    }

    fn flag(&mut self, flag: &str) -> bool {
        let place = self.plain.iter().position(|word| *word == flag);
        place.map(|place| self.plain.remove(place)).is_some()
    }

    fn text(&mut self, key: &str) -> Option<&'a str> {
        self.keyed.remove(key)
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        let at = self.at;
        self.text(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{at}: {key}")))
    }

    fn numbers(&mut self, key: &str) -> Vec<u64> {
        let at = self.at;
        let text = self.text(key).unwrap_or_default();
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or_else(|_| panic!("{at}: {key}"))).collect()
    }

    /// `10s`, `500ms` or a bare number of milliseconds.
    fn ms(&mut self, key: &str) -> Option<u64> {
        let at = self.at;
        self.text(key).map(|text| {
            let (digits, factor) = match text.strip_suffix("ms") {
                Some(digits) => (digits, 1),
                None => text.strip_suffix('s').map_or((text, 1), |digits| (digits, 1000)),
            };
            digits.parse::<u64>().unwrap_or_else(|_| panic!("{at}: {key}")) * factor
        })
    }

    fn done(self) {
        let left = (self.plain, self.keyed);
        assert!(left.0.is_empty() && left.1.is_empty(), "{}: what is {left:?}?", self.at);
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::new(),
            context: Context { term: Term(1), stamp_ms: 1_000 },
            clients: BTreeMap::new(),
            names: Names::default(),
            timers: BTreeMap::new(),
        }
    }

    /// Does what the line says; what the machine said to it, a line each.
    pub(crate) fn run(&mut self, line: &str, at: &str) -> String {
        if let Some(rest) = line.strip_prefix("times ") {
            let (count, command) = rest.split_once(' ').expect("times N COMMAND");
            let count: u32 = count.parse().unwrap_or_else(|_| panic!("{at}: times N"));
            return (0..count).map(|_| self.run(command, at)).last().unwrap_or_default();
        }
        let mut words = Words::new(line, at);
        let said = match words.next() {
            "clock" => {
                self.context.stamp_ms += words.ms("plus").expect("clock plus=5s");
                String::new()
            }
            "term" => {
                self.context.term = Term(words.next().parse().expect("a term"));
                String::new()
            }
            "look" => self.look(&mut words),
            verb => {
                let command = self.command(verb, &mut words);
                self.apply(command, at)
            }
        };
        words.done();
        said
    }

    fn client(&mut self, words: &mut Words<'_>) -> &mut Client {
        let name = words.next();
        let at = words.at;
        self.clients.get_mut(name).unwrap_or_else(|| panic!("{at}: no client {name}"))
    }

    fn key(&mut self, words: &mut Words<'_>) -> SessionKey {
        let mut key = self.client(words).key;
        key.epoch = words.number("epoch").map_or(key.epoch, Epoch);
        key.secret = words.number("secret").map_or(key.secret, |n| Secret(n.into()));
        key
    }

    fn command(&mut self, verb: &str, words: &mut Words<'_>) -> Command {
        let name = |text: &str| Name::new(text).expect("a name");
        match verb {
            "session" => self.session_command(words),
            "acquire" | "release" | "adopt" => Command::Call(self.call(verb, words)),
            "cancel" => {
                let key = self.key(words);
                Command::Cancel { key, seq: Seq(words.number("seq").expect("a seq")) }
            }
            "timeout" => {
                let session = self.client(words).key.id;
                Command::TimeOut { session, seq: Seq(words.number("seq").expect("a seq")) }
            }
            "stopped" => {
                let SessionKey { id: session, secret, .. } = self.key(words);
                let token = Token(words.number("token").expect("a token"));
                Command::AckStopped { session, secret, token }
            }
            "confirm" => {
                let session = self.client(words).key.id;
                let through = LossNumber(words.number("through").expect("a number"));
                Command::ConfirmLosses { session, through }
            }
            "force" => Command::ForceRelease {
                name: name(words.next()),
                token: Token(words.number("token").expect("a token")),
                now: words.flag("now"),
                by: words.text("by").unwrap_or("ops").into(),
            },
            "due" => self.due(words),
            other => panic!("{}: what is {other}?", words.at),
        }
    }

    fn session_command(&mut self, words: &mut Words<'_>) -> Command {
        match words.next() {
            "open" => {
                let name = words.next();
                let number = self.clients.len() as u64 + 1;
                let secret = Secret(words.number("secret").unwrap_or(number).into());
                let key = SessionKey { id: SessionId(0), secret, epoch: Epoch(0) };
                self.clients.insert(name.to_owned(), Client { key, next_seq: 1 });
                Command::Open(Open {
                    secret,
                    ttl_ms: words.ms("ttl").unwrap_or(10_000),
                    lock_delay_ms: words.ms("lock_delay").unwrap_or(0),
                    name: Name::new(name).expect("a name"),
                    labels: Labels::default(),
                })
            }
            "attach" => {
                let next_seq = self.clients[words.plain[0]].next_seq;
                Command::Attach(Attach {
                    key: self.key(words),
                    held: words.numbers("held").into_iter().map(Token).collect(),
                    waiting: words.numbers("waiting").into_iter().map(Seq).collect(),
                    next_seq: Seq(words.number("next").unwrap_or(next_seq)),
                })
            }
            "resume" => {
                let old = self.key(words);
                let known = self.machine.epoch(old.id).unwrap_or(old.epoch);
                assert_eq!(words.next(), "as", "session resume OLD as NEW");
                let key = SessionKey { id: old.id, secret: old.secret, epoch: Epoch(0) };
                self.clients.insert(words.next().to_owned(), Client { key, next_seq: 1 });
                Command::Resume(Resume {
                    session: old.id,
                    secret: old.secret,
                    expected: words.number("expected").map_or(known, Epoch),
                    nonce: Nonce(words.number("nonce").expect("a nonce").into()),
                })
            }
            "close" => Command::Close { key: self.key(words) },
            "kill" => Command::Kill {
                session: self.client(words).key.id,
                by: words.text("by").unwrap_or("ops").into(),
                reason: words.text("reason").unwrap_or("stuck").into(),
            },
            other => panic!("{}: what is session {other}?", words.at),
        }
    }

    fn call(&mut self, verb: &str, words: &mut Words<'_>) -> Call {
        let key = self.key(words);
        let op = match verb {
            "acquire" => Op::Acquire(Acquire {
                name: Name::new(words.next()).expect("a name"),
                demand: Demand::Mutex,
                wait: !words.flag("try"),
                priority: words.text("priority").map_or(0, |text| text.parse().expect("a number")),
                max_hold_ms: words.ms("max_hold").unwrap_or(0),
                owner: words.text("owner").map(Into::into),
                metadata: Labels::default(),
            }),
            "release" => Op::Release { token: Token(words.number("token").expect("a token")) },
            "adopt" => Op::Adopt { token: Token(words.number("token").expect("a token")) },
            other => panic!("{}: what is {other}?", words.at),
        };
        let seq = self.seq(&key, words.number("seq"));
        Call { key, seq: Seq(seq), seen_through: Seq(words.number("seen").unwrap_or(0)), op }
    }

    /// The chosen seq, or the client's next one. A stranger's key names its seq.
    fn seq(&mut self, key: &SessionKey, chosen: Option<u64>) -> u64 {
        let client = self.clients.values_mut().find(|client| client.key == *key);
        let mut none = 0;
        let next = client.map_or(&mut none, |client| &mut client.next_seq);
        let seq = chosen.unwrap_or(*next);
        *next = (*next).max(seq.saturating_add(1));
        seq
    }

    fn due(&mut self, words: &mut Words<'_>) -> Command {
        let kind = words.next();
        let session = self.client(words).key.id;
        let token = words.number("token").map(Token);
        let timer = match (kind, token) {
            ("session", None) => Timer::Session(session),
            ("adoption", None) => Timer::Adoption(session),
            ("hold_end", Some(token)) => Timer::HoldEnd(session, token),
            ("max_hold", Some(token)) => Timer::MaxHold(session, token),
            other => panic!("{}: what is due {other:?}?", words.at),
        };
        let runs = self.timers.get(&timer).map_or(Generation(0), |set| set.generation);
        Command::Due(Due {
            timer,
            generation: words.number("generation").map_or(runs, Generation),
            term: words.number("term").map_or(self.context.term, Term),
        })
    }

    fn apply(&mut self, command: Command, at: &str) -> String {
        let learns = match &command {
            Command::Open(open) => Some(open.secret),
            Command::Resume(resume) => Some(resume.secret),
            _ => None,
        };
        let mut events = Vec::new();
        let (_, outcome) = self.machine.apply(&self.context, command, &mut events);
        if let Some(secret) = learns {
            self.learn(secret, &outcome);
        }
        self.follow_timers(&events);
        self.check(at);
        let mut said = render::outcome(&outcome, &self.names);
        for event in &events {
            writeln!(said, "  {}", render::event(event, &self.names)).expect("a string");
        }
        said
    }

    /// What a client keeps of the answer to its open or resume.
    fn learn(&mut self, secret: Secret, outcome: &Outcome) {
        let newborn = |key: &SessionKey| key.epoch == Epoch(0) && key.secret == secret;
        let found = self.clients.iter_mut().find(|(_, client)| newborn(&client.key));
        let Some((name, client)) = found else { return };
        match outcome {
            Outcome::Opened { session, epoch, .. } => {
                client.key = SessionKey { id: *session, secret, epoch: *epoch };
                self.names.insert(*session, name);
            }
            Outcome::Resumed { epoch, next_seq, .. } => {
                client.key.epoch = *epoch;
                client.next_seq = next_seq.0;
            }
            _ => {
                let name = name.clone();
                self.clients.remove(&name);
            }
        }
    }

    fn follow_timers(&mut self, events: &[Event]) {
        for event in events {
            if let Event::TimerSet(set) = event {
                self.timers.insert(set.timer, *set);
            }
        }
    }

    /// What must hold after every single step.
    fn check(&self, at: &str) {
        self.machine.check_invariants().unwrap_or_else(|what| panic!("{at}: {what}"));
        let records: Vec<Record> = self.machine.records().collect();
        let restored =
            Machine::from_records(records.clone()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(restored.records().collect::<Vec<_>>(), records, "{at}: records");
        assert_eq!(restored.digest(), self.machine.digest(), "{at}: digest");
        for set in self.machine.timers() {
            assert_eq!(self.timers.get(&set.timer), Some(&set), "{at}: a timer nobody heard of");
            let generation = self.machine.timer_generation(&set.timer);
            assert_eq!(generation, Some(set.generation), "{at}: {:?}", set.timer);
        }
        for (session, seq) in self.machine.waits() {
            let answer = self.machine.answer(session, seq);
            assert!(matches!(answer, Some(Outcome::Queued { .. })), "{at}: {answer:?}");
        }
    }

    fn look(&mut self, words: &mut Words<'_>) -> String {
        match words.next() {
            "inspect" => {
                let name = Name::new(words.next()).expect("a name");
                let queue_max = words.number("queue_max").unwrap_or(100) as usize;
                let view = self.machine.inspect(&name, queue_max);
                view.map_or("nothing\n".into(), |view| render::object(&view, &self.names))
            }
            "list" => {
                let sort = match words.text("sort") {
                    None | Some("name") => Sort::Name,
                    Some("longest_wait") => Sort::LongestWait,
                    Some("most_waiters") => Sort::MostWaiters,
                    Some(other) => panic!("{}: sort={other}", words.at),
                };
                let prefix = words.text("prefix").unwrap_or_default();
                let limit = words.number("limit").unwrap_or(100) as usize;
                let page = self.machine.list(prefix, sort, words.text("after"), limit);
                render::objects(&page, &self.names)
            }
            "sessions" => {
                let prefix = words.text("prefix").unwrap_or_default();
                let after = words.number("after").map(SessionId);
                let limit = words.number("limit").unwrap_or(100) as usize;
                render::sessions(&self.machine.sessions(prefix, after, limit))
            }
            "session" => {
                let id = self.client(words).key.id;
                let view = self.machine.session(id);
                view.map_or("nothing\n".into(), |view| render::session(&view, &self.names))
            }
            "answer" => {
                let id = self.client(words).key.id;
                let seq = Seq(words.number("seq").expect("a seq"));
                let answer = self.machine.answer(id, seq);
                answer.map_or("nothing\n".into(), |answer| render::outcome(&answer, &self.names))
            }
            "check" => {
                let name = Name::new(words.next()).expect("a name");
                let token = Token(words.number("token").expect("a token"));
                format!("{:?}\n", self.machine.check(&name, token))
            }
            "losses" => {
                let id = self.client(words).key.id;
                let losses = self.machine.losses(id);
                losses.iter().map(|loss| format!("{}\n", render::loss(loss))).collect()
            }
            "counts" => {
                let counts = self.machine.counts();
                format!(
                    "sessions={} objects={} holds={} waiters={}\n",
                    counts.sessions, counts.objects, counts.holds, counts.waiters
                )
            }
            "timers" => {
                let mut timers: Vec<_> = self.machine.timers().collect();
                timers.sort_by_key(|set| set.timer);
                let lines = timers.iter().map(|set| render::timer(set, &self.names));
                lines.map(|line| format!("{line}\n")).collect()
            }
            other => panic!("{}: what is look {other}?", words.at),
        }
    }
}
