//! The words of one line: those with `=` by key, the others in order. No word is left over.

use std::collections::BTreeMap;

use conclave_machine::{
    Demand, Guard, Item, Items, LossNumber, Mode, Name, Seq, Token, Value, Version, limits,
};

#[derive(Clone)]
pub(crate) struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: BTreeMap<&'a str, &'a str>,
    /// The script and the line, for whoever mistyped it.
    pub(crate) at: &'a str,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str, at: &'a str) -> Self {
        let (keyed, plain) = line.split_whitespace().partition::<Vec<_>, _>(|w| w.contains('='));
        let keyed = keyed.into_iter().map(|word| word.split_once('=').expect("it has one"));
        Self { plain, keyed: keyed.collect(), at }
    }

    /// The first plain word, taken away.
    pub(crate) fn next(&mut self) -> &'a str {
        assert!(!self.plain.is_empty(), "{}: a word is missing", self.at);
        self.plain.remove(0)
    }

    pub(crate) fn next_if_any(&mut self) -> Option<&'a str> {
        (!self.plain.is_empty()).then(|| self.next())
    }

    pub(crate) fn name(&mut self) -> Name {
        name(self.next())
    }

    pub(crate) fn flag(&mut self, flag: &str) -> bool {
        let place = self.plain.iter().position(|word| *word == flag);
        place.map(|place| self.plain.remove(place)).is_some()
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<&'a str> {
        self.keyed.remove(key)
    }

    pub(crate) fn number(&mut self, key: &str) -> Option<u64> {
        let at = self.at;
        self.text(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{at}: {key}")))
    }

    /// A number of the machine that is 32 bits wide.
    pub(crate) fn count(&mut self, key: &str) -> Option<u32> {
        let number = self.number(key);
        number.map(|number| u32::try_from(number).unwrap_or_else(|_| panic!("{}: {key}", self.at)))
    }

    fn needed(&mut self, key: &str) -> u64 {
        self.number(key).unwrap_or_else(|| panic!("{}: which {key}?", self.at))
    }

    pub(crate) fn seq(&mut self) -> Seq {
        Seq(self.needed("seq"))
    }

    pub(crate) fn token(&mut self) -> Token {
        Token(self.needed("token"))
    }

    pub(crate) fn term(&mut self) -> Token {
        Token(self.needed("term"))
    }

    pub(crate) fn through(&mut self) -> LossNumber {
        LossNumber(self.needed("through"))
    }

    pub(crate) fn numbers(&mut self, key: &str) -> Vec<u64> {
        let at = self.at;
        let text = self.text(key).unwrap_or_default();
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or_else(|_| panic!("{at}: {key}"))).collect()
    }

    /// `10s`, `500ms` or a bare number of milliseconds.
    pub(crate) fn ms(&mut self, key: &str) -> Option<u64> {
        let at = self.at;
        self.text(key).map(|text| {
            let (digits, factor) = match text.strip_suffix("ms") {
                Some(digits) => (digits, 1),
                None => text.strip_suffix('s').map_or((text, 1), |digits| (digits, 1000)),
            };
            digits.parse::<u64>().unwrap_or_else(|_| panic!("{at}: {key}")) * factor
        })
    }

    /// `value=TEXT`, or `bytes=N` of them; nothing: no bytes at all.
    pub(crate) fn value(&mut self) -> Value {
        let bytes = self.number("bytes").map_or(0, |bytes| bytes as usize);
        match self.text("value") {
            Some(text) => Value::new(text.as_bytes()),
            None => Value::new(&vec![b'x'; bytes]),
        }
    }

    /// `guard=NAME:TOKEN`.
    pub(crate) fn guard(&mut self) -> Option<Guard> {
        let (held, token) = self.text("guard")?.rsplit_once(':').expect("guard=NAME:TOKEN");
        Some(Guard { name: name(held), token: Token(token.parse().expect("a token")) })
    }

    pub(crate) fn version(&mut self) -> Option<Version> {
        self.number("version").map(Version)
    }

    pub(crate) fn mode(&self, text: &str) -> Mode {
        match text {
            "read" => Mode::Read,
            "upgradable" => Mode::Upgradable,
            "write" => Mode::Write,
            other => panic!("{}: what is {other}?", self.at),
        }
    }

    /// All plain words that are left: `job` is a mutex, `map:read` a read-write lock, `pool:2/10` two of ten permits,
    /// `door:gate` what does not go with others. `items=N` stands for as many mutexes.
    pub(crate) fn items(&mut self) -> Items {
        let many = self.number("items").unwrap_or(0);
        let many = (1..=many).map(|n| format!("item/{n}")).collect::<Vec<_>>();
        let words = core::mem::take(&mut self.plain);
        let words = words.into_iter().chain(many.iter().map(String::as_str));
        let items: Vec<_> = words.map(|word| self.item(word)).collect();
        assert!(items.len() <= limits::ITEMS_MAX + 1, "{}: {} items", self.at, items.len());
        Items::new(items).unwrap_or_else(|| panic!("{}: of what?", self.at))
    }

    fn item(&self, word: &str) -> Item {
        let Some((of, demand)) = word.rsplit_once(':') else {
            return Item { name: name(word), demand: Demand::Mutex };
        };
        let permits = |(weight, limit): (&str, &str)| Demand::Permits {
            weight: weight.parse().expect("a weight"),
            limit: limit.parse().expect("a limit"),
        };
        let demand = match demand {
            "lead" => Demand::Lead,
            "gate" => Demand::Gate,
            "latch" => Demand::Latch,
            other => match other.split_once('/') {
                Some(numbers) => permits(numbers),
                None => Demand::RwLock(self.mode(other)),
            },
        };
        Item { name: name(of), demand }
    }

    pub(crate) fn done(self) {
        let left = (self.plain, self.keyed);
        assert!(left.0.is_empty() && left.1.is_empty(), "{}: what is {left:?}?", self.at);
    }
}
