//! How times are written on the command line: `500ms`, `2s`, `1m 30s`; a bare number means seconds, as with flock(1) and timeout(1).

use std::time::Duration;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("{text} is not a time of zero or more seconds"));
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a time; write seconds, or for example 500ms, 2s, 1m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_units_are_understood() {
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in ["", "soon", "-1", "NaN", "inf", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
