//! What the clients of a closed loop do, and how many of them on how many connections.

use std::str::FromStr;

/// One client's cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Lock and unlock a mutex that nobody else wants.
    Own,
    /// Lock and unlock the one mutex that all want.
    One,
    /// Read and, one time of ten, write under one read-write lock.
    Rw,
    /// Take and give back one permit of a semaphore that has a quarter of what is wanted.
    Sem,
    /// Win and resign one election that all stand in.
    Elect,
}

impl Work {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::One => "one",
            Self::Rw => "rw",
            Self::Sem => "sem",
            Self::Elect => "elect",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) work: Work,
    /// Each has one outstanding call.
    pub(crate) clients: u32,
    /// A connection each; at most as many as clients.
    pub(crate) sessions: u32,
}

impl Shape {
    /// Each client a session and a connection of its own.
    pub(crate) const fn separate(work: Work, clients: u32) -> Self {
        Self { work, clients, sessions: clients }
    }

    /// So many sessions for all clients.
    pub(crate) const fn sharing(work: Work, clients: u32, sessions: u32) -> Self {
        Self { work, clients, sessions: if sessions < clients { sessions } else { clients } }
    }

    pub(crate) fn words(self) -> String {
        format!("{}, {} clients on {} connections", self.work.name(), self.clients, self.sessions)
    }
}

/// `own:256:4`, or `own:256` where each client has its own connection.
impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let work = match parts.next() {
            Some("own") => Work::Own,
            Some("one") => Work::One,
            _ => return Err("begins with own or one".to_owned()),
        };
        let numbers: Result<Vec<u32>, _> = parts.map(str::parse).collect();
        match numbers.map_err(|error| error.to_string())?[..] {
            [clients @ 1..=u32::MAX] => Ok(Self::separate(work, clients)),
            [clients @ 1..=u32::MAX, sessions @ 1..=u32::MAX] => {
                Ok(Self::sharing(work, clients, sessions))
            }
            _ => Err("is own:CLIENTS, own:CLIENTS:CONNECTIONS, or the same of one".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_they_are_written() {
        assert_eq!("own:256:4".parse(), Ok(Shape::sharing(Work::Own, 256, 4)));
        assert_eq!("one:16".parse(), Ok(Shape::separate(Work::One, 16)));
        for wrong in ["", "own", "rw:3", "own:0", "own:x", "own:1:2:3", "one:2:0"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
    }
}
