//! From words to commands.

use conclave_machine::{
    Acquire, Attach, Call, Campaign, Change, Command, Demand, Due, Edit, Epoch, Expect, Generation,
    Item, Items, Labels, Name, Nonce, Op, Open, Resume, Secret, Seq, SessionId, SessionKey, Term,
    Timer, Token, Version,
};

use crate::stage::{Client, Stage};
use crate::words::{Words, name};

impl Stage {
    pub(crate) fn client(&mut self, words: &mut Words<'_>) -> &mut Client {
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

    pub(crate) fn command(&mut self, verb: &str, words: &mut Words<'_>) -> Command {
        match verb {
            "session" => self.session_command(words),
            "cancel" => Command::Cancel { key: self.key(words), seq: words.seq() },
            "timeout" => Command::TimeOut { session: self.client(words).key.id, seq: words.seq() },
            "stopped" => {
                let SessionKey { id: session, secret, .. } = self.key(words);
                Command::AckStopped { session, secret, token: words.token() }
            }
            "confirm" => {
                let session = self.client(words).key.id;
                Command::ConfirmLosses { session, through: words.through() }
            }
            "due" => self.due(words),
            "force" | "resize" | "transfer" | "delete" => self.operator_command(verb, words),
            call => Command::Call(self.call(call, words)),
        }
    }

    fn operator_command(&mut self, verb: &str, words: &mut Words<'_>) -> Command {
        let by = words.text("by").unwrap_or("ops").into();
        let name = words.name();
        match verb {
            "force" => {
                Command::ForceRelease { name, token: words.token(), now: words.flag("now"), by }
            }
            "resize" => {
                let known = self.machine.semaphore_version(&name).unwrap_or(Version(0));
                let version = words.version().unwrap_or(known);
                let limit = words.count("limit").expect("resize NAME limit=N");
                Command::Resize { name, limit, version, by }
            }
            "transfer" => {
                let term = words.term();
                assert_eq!(words.next(), "to", "transfer NAME term=T to CLIENT");
                Command::Transfer { name, term, to: self.client(words).key.id, by }
            }
            _ => Command::Delete { name, by },
        }
    }

    fn session_command(&mut self, words: &mut Words<'_>) -> Command {
        match words.next() {
            "open" => self.open(words),
            "attach" => {
                let next_seq = self.client(&mut words.clone()).next_seq;
                let key = self.key(words);
                let number = words.number("number").unwrap_or_else(|| self.next_attach(&key));
                Command::Attach(Attach {
                    key,
                    number,
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
                self.clients.insert(words.next().to_owned(), Client::new(key));
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

    fn open(&mut self, words: &mut Words<'_>) -> Command {
        let client = words.next();
        let number = self.clients.len() as u64 + 1;
        let secret = Secret(words.number("secret").unwrap_or(number).into());
        let key = SessionKey { id: SessionId(0), secret, epoch: Epoch(0) };
        self.clients.insert(client.to_owned(), Client::new(key));
        Command::Open(Open {
            secret,
            ttl_ms: words.ms("ttl").unwrap_or(10_000),
            lock_delay_ms: words.ms("lock_delay").unwrap_or(0),
            name: name(client),
            labels: Labels::default(),
        })
    }

    fn call(&mut self, verb: &str, words: &mut Words<'_>) -> Call {
        let key = self.key(words);
        let seen_through = Seq(words.number("seen").unwrap_or(0));
        let chosen = words.number("seq");
        let op = op(verb, words);
        Call { key, seq: Seq(self.seq(&key, chosen)), seen_through, op }
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

    fn next_attach(&mut self, key: &SessionKey) -> u64 {
        let client = self.clients.values_mut().find(|client| client.key == *key);
        client.map_or(1, |client| {
            client.attach_number += 1;
            client.attach_number
        })
    }

    fn due(&mut self, words: &mut Words<'_>) -> Command {
        let timer = match words.next() {
            "retention" => Timer::Retention(words.name()),
            "quiet" => Timer::Quiet,
            kind => {
                let session = self.client(words).key.id;
                match kind {
                    "session" => Timer::Session(session),
                    "adoption" => Timer::Adoption(session),
                    "hold_end" => Timer::HoldEnd(session, words.token()),
                    "max_hold" => Timer::MaxHold(session, words.token()),
                    "preempt" => Timer::Preempt(session, words.token()),
                    other => panic!("{}: what is due {other}?", words.at),
                }
            }
        };
        let runs = self.timers.get(&timer).map_or(Generation(0), |set| set.generation);
        Command::Due(Due {
            timer,
            generation: words.number("generation").map_or(runs, Generation),
            term: words.number("term").map_or(self.context.term, Term),
        })
    }
}

fn op(verb: &str, words: &mut Words<'_>) -> Op {
    match verb {
        "acquire" | "campaign" | "once" | "await" | "arrive" => Op::Acquire(request(verb, words)),
        "release" => {
            Op::Release { token: words.token(), permits: words.count("permits").unwrap_or(0) }
        }
        "adopt" => Op::Adopt { token: words.token() },
        "downgrade" => {
            let to = words.text("to").expect("downgrade CLIENT token=T to=read");
            Op::Downgrade { token: words.token(), to: words.mode(to) }
        }
        "upgrade" => Op::Upgrade { token: words.token(), wait: !words.flag("try") },
        "proclaim" => Op::Proclaim { term: words.term(), value: words.value() },
        "eligible" | "aside" => {
            let campaign = Seq(words.number("campaign").expect("the seq of a campaign"));
            Op::SetEligible { campaign, eligible: verb == "eligible" }
        }
        "complete" => {
            let retention_ms = words.ms("retention").unwrap_or(60_000);
            Op::Complete { token: words.token(), value: words.value(), retention_ms }
        }
        edit => Op::Edit(self::edit(edit, words)),
    }
}

fn request(verb: &str, words: &mut Words<'_>) -> Acquire {
    let wait = !words.flag("try");
    let fail_on_deadlock = words.flag("or_deadlock");
    let priority = words.text("priority").map_or(0, |text| text.parse().expect("a number"));
    let campaign = (verb == "campaign" && !words.flag("without_proposal")).then(|| Campaign {
        value: words.value(),
        eligible: !words.flag("aside"),
        preempt_after_ms: words.ms("preempt_after"),
    });
    let (max_hold_ms, owner) = (words.ms("max_hold").unwrap_or(0), words.text("owner"));
    let one = |name: Name, demand| Items::one(Item { name, demand });
    let items = match verb {
        "campaign" => one(words.name(), Demand::Lead),
        "once" => {
            let attempts_max = words.count("attempts").unwrap_or(0);
            one(words.name(), Demand::Run { attempts_max })
        }
        "arrive" => {
            let parties = words.count("parties").expect("arrive CLIENT NAME parties=N");
            let break_on_loss = words.flag("or_break");
            one(words.name(), Demand::Arrive { parties, break_on_loss })
        }
        "await" => match words.next() {
            "latch" => one(words.name(), Demand::Latch),
            "gate" => one(words.name(), Demand::Gate),
            other => panic!("{}: what is await {other}?", words.at),
        },
        _ => words.items(),
    };
    let mut request = Acquire::of(items.first().name.clone(), Demand::Mutex);
    request.items = items;
    request.wait = wait;
    request.priority = priority;
    request.max_hold_ms = max_hold_ms;
    request.owner = owner.map(Into::into);
    request.fail_on_deadlock = fail_on_deadlock;
    request.campaign = campaign;
    request
}

fn edit(verb: &str, words: &mut Words<'_>) -> Edit {
    let guard = words.guard();
    let name = words.name();
    let expect = match words.text("expect") {
        None => Expect::Anything,
        Some("absent") => Expect::Absent,
        Some(version) => Expect::Version(Version(version.parse().expect("a version"))),
    };
    let change = match verb {
        "latch" => Change::CreateLatch { count: words.number("count").expect("a count") },
        "count_down" => Change::CountDown {
            by: words.number("by").unwrap_or(1),
            key: words.text("key").map(Into::into),
        },
        "reset" => Change::ResetLatch,
        "open" | "close" => Change::SetGate { open: verb == "open" },
        "write" => Change::SetRegister { value: words.value(), expect, bound: words.flag("bound") },
        "erase" => Change::DeleteRegister { expect },
        "add" => {
            let delta = words.text("delta").unwrap_or("1");
            Change::AddCounter { delta: delta.parse().expect("a number") }
        }
        other => panic!("{}: what is {other}?", words.at),
    };
    Edit { name, guard, change }
}
