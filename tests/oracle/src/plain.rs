//! The numbers of the machine as plain numbers in a file of history: the machine itself knows no serde.

use conclave_machine::{Epoch, Revision, Seq, SessionId, Token, Version};
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) trait Plain: Copy {
    fn of(number: u64) -> Self;
    fn plain(self) -> u64;
}

macro_rules! plain {
    ($($name:ident),*) => {
        $(impl Plain for $name {
            fn of(number: u64) -> Self {
                Self(number)
            }

            fn plain(self) -> u64 {
                self.get()
            }
        })*
    };
}

plain!(Epoch, Revision, Seq, SessionId, Token, Version);

pub(crate) fn serialize<T: Plain, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(number.plain())
}

pub(crate) fn deserialize<'de, T: Plain, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    u64::deserialize(from).map(T::of)
}

/// The same of what may be missing.
pub(crate) mod option {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::Plain;

    pub(crate) fn serialize<T: Plain, S: Serializer>(
        number: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(T::plain).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Plain, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(T::of))
    }
}
