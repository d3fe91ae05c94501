//! Looking at the stage's machine: every query, in words.

use conclave_machine::{SessionId, Sort};

use crate::render;
use crate::stage::Stage;
use crate::views;
use crate::words::Words;

impl Stage {
    pub(crate) fn look(&mut self, words: &mut Words<'_>) -> String {
        let nothing = || "nothing\n".to_owned();
        match words.next() {
            "inspect" => {
                let queue_max = words.number("queue_max").unwrap_or(100) as usize;
                let view = self.machine.inspect(&words.name(), queue_max);
                view.map_or_else(nothing, |view| views::object(&view, &self.names))
            }
            "election" => {
                let most = words.number("candidates_max").unwrap_or(100) as usize;
                let view = self.machine.election(&words.name(), most);
                view.map_or_else(nothing, |view| views::election(&view, &self.names))
            }
            "value" => self.value(words),
            "kind" => {
                let kind = self.machine.kind(&words.name());
                kind.map_or_else(nothing, |kind| format!("{kind:?}\n"))
            }
            "session" => {
                let id = self.client(words).key.id;
                let view = self.machine.session(id);
                view.map_or_else(nothing, |view| views::session(&view, &self.names))
            }
            "answer" => {
                let id = self.client(words).key.id;
                let answer = self.machine.answer(id, words.seq());
                answer.map_or_else(nothing, |answer| render::outcome(&answer, &self.names))
            }
            "check" => {
                let name = words.name();
                format!("{:?}\n", self.machine.check(&name, words.token()))
            }
            "losses" => {
                let id = self.client(words).key.id;
                let losses = self.machine.losses(id);
                losses.iter().map(|loss| format!("{}\n", render::loss(loss))).collect()
            }
            all => self.look_at_all(all, words),
        }
    }

    /// Of a register, of a once that is done, or of a counter.
    fn value(&self, words: &mut Words<'_>) -> String {
        let name = words.name();
        let view = self.machine.register_value(&name).or_else(|| self.machine.once_value(&name));
        match (view, self.machine.counter_value(&name)) {
            (Some(view), None) => views::value(&view, &self.names),
            (None, Some(value)) => format!("{value}\n"),
            (None, None) => "nothing\n".to_owned(),
            (Some(_), Some(_)) => panic!("{name} is of two kinds"),
        }
    }

    fn look_at_all(&self, what: &str, words: &mut Words<'_>) -> String {
        match what {
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
                views::objects(&page, &self.names)
            }
            "sessions" => {
                let prefix = words.text("prefix").unwrap_or_default();
                let after = words.number("after").map(SessionId);
                let limit = words.number("limit").unwrap_or(100) as usize;
                views::sessions(&self.machine.sessions(prefix, after, limit))
            }
            "counts" => views::counts(&self.machine.counts()),
            "timers" => {
                let mut timers: Vec<_> = self.machine.timers().collect();
                timers.sort_by(|one, other| one.timer.cmp(&other.timer));
                let lines = timers.iter().map(|set| render::timer(set, &self.names));
                lines.map(|line| format!("{line}\n")).collect()
            }
            other => panic!("{}: what is look {other}?", words.at),
        }
    }
}
