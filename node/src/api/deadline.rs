//! How long a request may take.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The time for the work: the client's own limit, less what the answer needs to get back before the client gives up.
pub(super) fn of(metadata: &MetadataMap, default: Duration) -> Duration {
    let Some(limit) = metadata
        .get("grpc-timeout")
        .and_then(|value| parse(value.to_str().ok()?))
    else {
        return default;
    };
    let margin = (limit / 10)
        .clamp(Duration::from_millis(10), Duration::from_millis(300))
        .min(limit / 2);
    (limit - margin).min(default)
}

/// gRPC's wire form: up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(timeout: &str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout.parse().expect("ASCII"));
        of(&metadata, Duration::from_secs(7))
    }

    #[test]
    fn the_answer_leaves_before_the_client_gives_up() {
        assert_eq!(of(&MetadataMap::new(), Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(with("5S"), Duration::from_millis(4700));
        assert_eq!(with("500m"), Duration::from_millis(450));
        assert_eq!(with("10m"), Duration::from_millis(5));
        assert_eq!(with("0m"), Duration::ZERO);
        assert_eq!(with("1H"), Duration::from_secs(7));
    }

    #[test]
    fn what_is_no_timeout_is_ignored() {
        for text in ["", "S", "5", "5x", "123456789S", "-5S", "+5S", "5 S"] {
            assert_eq!(with(text), Duration::from_secs(7), "{text}");
        }
    }
}
