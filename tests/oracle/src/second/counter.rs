//! A counter, as one client alone would know it.

use super::checker::Spec;

pub(crate) struct CounterSpec;

#[derive(Debug, Clone)]
pub(crate) enum CounterOp {
    /// The value after it. None: never answered.
    Add {
        delta: i64,
        value: Option<i64>,
    },
    /// None: there was no counter.
    Read {
        value: Option<i64>,
    },
    Deleted,
}

impl Spec for CounterSpec {
    /// None: there is no counter.
    type State = Option<i64>;
    type Operation = CounterOp;

    fn step(state: &Self::State, operation: &CounterOp) -> Option<Self::State> {
        match operation {
            CounterOp::Add { delta, value } => {
                let sum = state.unwrap_or(0).checked_add(*delta)?;
                value.is_none_or(|value| value == sum).then_some(Some(sum))
            }
            CounterOp::Read { value } => (state == value).then_some(*state),
            CounterOp::Deleted => state.map(|_| None),
        }
    }
}
