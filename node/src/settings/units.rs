//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `100ms`, `1.5s`, `2m`, `250us`, `0`. A bare number other than 0 is refused: of what?
///
/// # Errors
/// A sentence about the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 6] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split(trimmed);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let (Some(scale), Ok(number)) = (scale, number.parse::<f64>()) else {
        return Err(format!(
            "\"{text}\" is not a duration such as \"100ms\", \"1.5s\" or \"2m\""
        ));
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("\"{text}\" is out of range for a duration"))
}

/// Reads `4096`, `64KiB`, `1.5MiB`, `2GiB`.
///
/// # Errors
/// A sentence about the text.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, u64); 5] = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, unit) = split(text.trim());
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let (Some(scale), Ok(number)) = (scale, number.parse::<f64>()) else {
        return Err(format!(
            "\"{text}\" is not a size such as 4096, \"64KiB\" or \"1.5MiB\""
        ));
    };
    let bytes = number * scale as f64;
    if !(1.0..=(1_u64 << 40) as f64).contains(&bytes) {
        return Err(format!("\"{text}\" is not between 1 byte and 1024 GiB"));
    }
    Ok(bytes as usize)
}

/// The number and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|reason| format!("is wrong: {reason}"))
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("is 0; it must be longer".to_owned()),
        positive => Ok(positive),
    }
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    parse_bytes(text).map_err(|reason| format!("is wrong: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "100", "ms", "-1s", "1 fortnight", "1e400s", "99999999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units_or_are_bytes() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("1.5MiB"), Ok(3 << 19));
        for wrong in ["", "0", "1.5MB", "x", "-5", "9999GiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
