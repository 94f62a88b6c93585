//! The word that operators know and others do not: a file with one line.

use std::path::Path;

/// A shorter one could be guessed.
const SHORTEST: usize = 16;
/// A longer one does not fit into a header.
const LONGEST: usize = 4096;

/// Reads the word from a file, without the white space around it.
///
/// # Errors
/// A sentence: it cannot be read, or is no word of 16 to 4096 printable ASCII characters.
pub fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let word = text.trim();
    let plain = word.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && (SHORTEST..=LONGEST).contains(&word.len()) {
        Ok(word.to_owned())
    } else {
        Err(format!(
            "{shown} does not hold one word of {SHORTEST} to {LONGEST} printable ASCII characters; make one with: openssl rand -hex 32"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_taken_without_its_line_end_and_anything_else_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        assert!(read(&path).expect_err("nothing there").contains("cannot be read"));
        std::fs::write(&path, "0123456789abcdef\n").expect("written");
        assert_eq!(read(&path), Ok("0123456789abcdef".to_owned()));
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef"] {
            std::fs::write(&path, bad).expect("written");
            assert!(read(&path).expect_err(bad).contains("does not hold one word"), "{bad}");
        }
    }
}
