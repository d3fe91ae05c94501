//! A caller's own deadline, as gRPC says it in `grpc-timeout`.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::limits::DEADLINE_MARGIN_MAX;

const HEADER: &str = "grpc-timeout";
/// More digits are not allowed by gRPC.
const DIGITS_MAX: usize = 8;

/// When the caller gives up; none: it does not say, or not in a way that can be read.
pub(crate) fn of(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get(HEADER)?.to_str().ok()?;
    Instant::now().checked_add(parse(text)?)
}

/// When to answer so that the answer arrives before the deadline.
pub(crate) fn with_margin(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - DEADLINE_MARGIN_MAX.min(left / 4)
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty()
        || digits.len() > DIGITS_MAX
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit_and_nonsense_is_none() {
        assert_eq!(parse("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse("82m"), Some(Duration::from_millis(82)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("7n"), Some(Duration::from_nanos(7)));
        for nonsense in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1é", "é"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_margin_is_a_quarter_of_a_short_deadline_and_half_a_second_of_a_long_one() {
        let now = Instant::now();
        let short = now + Duration::from_millis(100);
        assert_eq!(with_margin(short), now + Duration::from_millis(75));
        let long = now + Duration::from_secs(20);
        assert_eq!(with_margin(long), now + Duration::from_millis(19_500));
    }
}
